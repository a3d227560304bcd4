//! One id for each kind of record an operator would look for; `units/catalog/hotspare.catalog` explains every one.
//!
//! Made with `systemd-id128 new`; never reused, never changed.

/// Ids and their names, for the test that compares them with the catalog.
pub const ALL: [(&str, &str); 62] = [
    ("BID_STARTED", BID_STARTED),
    ("BID_LOST", BID_LOST),
    ("ACQUIRED", ACQUIRED),
    ("READOPTED", READOPTED),
    ("LOST", LOST),
    ("YIELDING", YIELDING),
    ("HANDED_OVER", HANDED_OVER),
    ("RELEASED", RELEASED),
    ("ABSTAINS", ABSTAINS),
    ("VOTER_SILENT", VOTER_SILENT),
    ("VOTER_BACK", VOTER_BACK),
    ("REFRESHED", REFRESHED),
    ("WISH_REFUSED", WISH_REFUSED),
    ("ROLE_UP", ROLE_UP),
    ("TOO_MANY_MOVES", TOO_MANY_MOVES),
    ("NOBODY_LEFT", NOBODY_LEFT),
    ("FAILED_WHILE_PAUSED", FAILED_WHILE_PAUSED),
    ("PAUSED", PAUSED),
    ("RESUMED", RESUMED),
    ("UPLINK_LOST", UPLINK_LOST),
    ("UPLINK_BACK", UPLINK_BACK),
    ("SHOOTS", SHOOTS),
    ("SHOT", SHOT),
    ("GATE_OPEN", GATE_OPEN),
    ("GATE_REFUSED", GATE_REFUSED),
    ("GATE_BEGIN_STOP", GATE_BEGIN_STOP),
    ("GATE_RESUMED", GATE_RESUMED),
    ("GATE_KILL", GATE_KILL),
    ("GATE_SELF_FENCE", GATE_SELF_FENCE),
    ("GATE_PROOF", GATE_PROOF),
    ("ADDRESS_CLAIMED", ADDRESS_CLAIMED),
    ("ADDRESS_READDED", ADDRESS_READDED),
    ("ADDRESS_RIVAL", ADDRESS_RIVAL),
    ("ADDRESS_RELEASED", ADDRESS_RELEASED),
    ("PEER_ALIVE", PEER_ALIVE),
    ("PEER_LATE", PEER_LATE),
    ("PEER_DEAD", PEER_DEAD),
    ("CONFIG_REFUSED", CONFIG_REFUSED),
    ("ARBITER_READY", ARBITER_READY),
    ("ARBITER_REGISTER", ARBITER_REGISTER),
    ("ARBITER_JOINED", ARBITER_JOINED),
    ("FORCED", FORCED),
    ("PROBE_FAILED", PROBE_FAILED),
    ("FENCED", FENCED),
    ("FENCE_FAILED", FENCE_FAILED),
    ("FENCE_DEVICE", FENCE_DEVICE),
    ("PILL", PILL),
    ("VOLUME_PROMOTED", VOLUME_PROMOTED),
    ("VOLUME_SERVING", VOLUME_SERVING),
    ("VOLUME_REFUSED", VOLUME_REFUSED),
    ("VOLUME_ENDED", VOLUME_ENDED),
    ("VOLUME_FROZEN", VOLUME_FROZEN),
    ("VOLUME_THAWED", VOLUME_THAWED),
    ("VOLUME_DISK", VOLUME_DISK),
    ("COPY_DROPPED", COPY_DROPPED),
    ("COPY_RESYNC", COPY_RESYNC),
    ("COPY_JOINED", COPY_JOINED),
    ("COPY_REFUSED", COPY_REFUSED),
    ("COPY_SLOW", COPY_SLOW),
    ("VOLUME_GROWN", VOLUME_GROWN),
    ("COPIES_VERIFIED", COPIES_VERIFIED),
    ("COPY_DIFFERS", COPY_DIFFERS),
];

pub const BID_STARTED: &str = "088bb458216b93f592fb2c31d0a3a8a2";
pub const BID_LOST: &str = "3b6d99f1bac998c1964fbf71d748b081";
pub const ACQUIRED: &str = "59b2ccebe5bb6c3567bac638f116d990";
pub const READOPTED: &str = "cd1425c5320e5ecb685cfabdd6d9e1a4";
pub const LOST: &str = "8a623ca578df0b2de8715d119368a26a";
pub const YIELDING: &str = "d6e9763a997aade6c241ccbb80547ed6";
pub const HANDED_OVER: &str = "404ae10448f90a7df00ec6ee878c7ce2";
pub const RELEASED: &str = "7afac10532636322853d34f9eecb5127";
pub const ABSTAINS: &str = "722bdb91a804d5f455e69f55f374a536";
pub const VOTER_SILENT: &str = "df8bb0fc8efa5771650d3e7e41abf66f";
pub const VOTER_BACK: &str = "c69b847be598d770e42c2c3f5cbe3825";
pub const REFRESHED: &str = "bfec72e75aeb2e8311672a56bb33b2b3";
pub const WISH_REFUSED: &str = "cd0a2a3376119c543b7a5d80d21cd0b8";
pub const ROLE_UP: &str = "8c8805e7c51d561a657157806bbf5c9a";
pub const TOO_MANY_MOVES: &str = "47d32fcd0e25488f8f8fa2f2745610a2";
pub const NOBODY_LEFT: &str = "c5d31d8b7a6c4cf39eff514a7cc2b6ff";
pub const FAILED_WHILE_PAUSED: &str = "0f3152e0543b47728e73516a56beda0b";
pub const PAUSED: &str = "31f5a070a5b16fd0d50776561792cf7c";
pub const RESUMED: &str = "8ae55f8662b1eb4e7da97411a957007c";
pub const UPLINK_LOST: &str = "d6e91f0b23044ff1bd70d47472bade07";
pub const UPLINK_BACK: &str = "2c95f0ccfb7f46b1857b297f8cc32b89";
pub const SHOOTS: &str = "4564508224424a1a9228d3482f1114f5";
pub const SHOT: &str = "e8e6eedf4eb0422f96388f6434dafd93";
pub const GATE_OPEN: &str = "65c10c7d5c215d739cbe95317a377d73";
pub const GATE_REFUSED: &str = "93d60531007ffe07eea2c71c9941896a";
pub const GATE_BEGIN_STOP: &str = "c85e887e82f9459d820c4a475cf79f49";
pub const GATE_RESUMED: &str = "b80ac1de929a41270f2ee7697f851687";
pub const GATE_KILL: &str = "888e259efb18a580161484c113c60d5a";
pub const GATE_SELF_FENCE: &str = "66b1e3e5cd2e307d70f2475404977c43";
pub const GATE_PROOF: &str = "470149df6a7f3fc7b8464d297fb6a6f7";
pub const ADDRESS_CLAIMED: &str = "1425a7b4c2641b518910145b3711ab7e";
pub const ADDRESS_READDED: &str = "01a5cca082ec31e975ec549c2fc08655";
pub const ADDRESS_RIVAL: &str = "2ec5b369ff3c103015859f6d4e86d52f";
pub const ADDRESS_RELEASED: &str = "2373a786255ff6f2ca6f503a4e34bb98";
pub const PEER_ALIVE: &str = "b0fc628c7726073ec1712c76d11cc79c";
pub const PEER_LATE: &str = "c886ad88ee99d3e9888d33e2efe4d351";
pub const PEER_DEAD: &str = "627dce1580ad46eb5938f5bb6d11dae6";
pub const CONFIG_REFUSED: &str = "bf0a1bb2c81f1d5d60bd954c5098b4ce";
pub const ARBITER_READY: &str = "a9f231b448aaeb51d17e8e9910946ab5";
pub const ARBITER_REGISTER: &str = "3daf6e340ebce2ba859961111271a64f";
pub const ARBITER_JOINED: &str = "67dadbe21ea342f7b5f63de289087d9e";
pub const FORCED: &str = "5b6e17db2f554db69c5f1c61da3025f9";
pub const PROBE_FAILED: &str = "45d48b356a234918af6cc15555a42bb9";
pub const FENCED: &str = "ab77c4b3f4534711943b5212c9f3bec8";
pub const FENCE_FAILED: &str = "ce01d92826424651a223eb9488cbc6b3";
pub const FENCE_DEVICE: &str = "e99ffbedd5dc45eba44ebd1c5e5101b9";
pub const PILL: &str = "4c7362bf98bb440496cf82a3137cba78";
pub const VOLUME_PROMOTED: &str = "5597546818de48cea147a6e8b5cc80c2";
pub const VOLUME_SERVING: &str = "a88ffedec5ad4c62b86cf29ecf6de08d";
pub const VOLUME_REFUSED: &str = "fc8ab5c44f2046a881bf18c5d0e7b39f";
pub const VOLUME_ENDED: &str = "4a72521f27dc46609f36d9b52b567208";
pub const VOLUME_FROZEN: &str = "326ce0e87a034329ab37e7ed80acf168";
pub const VOLUME_THAWED: &str = "5bf891c4a8c9492daf864234c4bd0d74";
pub const VOLUME_DISK: &str = "1505f412562c460091294206ad702ddf";
pub const COPY_DROPPED: &str = "2eca450652c448af957721dbcc704715";
pub const COPY_RESYNC: &str = "1c8a2a59bd544a7e8f0a656183a71f8c";
pub const COPY_JOINED: &str = "c407913dbfb94c60ae49ee34dc1ff2de";
pub const COPY_REFUSED: &str = "c840ab36121c4e239df24e89b30cb84a";
pub const COPY_SLOW: &str = "df13cbc86d86479a923e6049a9526423";
pub const VOLUME_GROWN: &str = "4c2ef692f6a149a5963e2d21083970fa";
pub const COPIES_VERIFIED: &str = "2daeb5d1346644d4b1556474678f505d";
pub const COPY_DIFFERS: &str = "d0ee01b9170242c393d9b1678565143c";
