//! What a copy does, in words: one journal record for each decision.

use hotspare_config::Config;
use hotspare_core::NodeId;
use hotspare_daemon::{Priority, message_id, record};
use hotspare_volume::{Event, NoGrowth, Refusal, Unfit};

/// Writes `event` to the journal; returns the sentence.
pub fn tell(config: &Config, (group, volume): (&str, &str), event: Event) -> String {
    let (id, priority, peer, sentence) = sentence(config, event);
    let mut fields = vec![("GROUP", group.to_owned()), ("VOLUME", volume.to_owned()), ("REASON", sentence.clone())];
    fields.extend(peer.map(|peer| ("PEER", config.node_name(peer).to_owned())));
    record(id, priority, format!("volume {volume}: {sentence}"), &fields);
    sentence
}

fn sentence(config: &Config, event: Event) -> (&'static str, Priority, Option<NodeId>, String) {
    use Priority::{Error, Info, Notice, Warning};
    let name = |node| config.node_name(node);
    match event {
        Event::Promoted { epoch } => {
            (message_id::VOLUME_PROMOTED, Info, None, format!("this copy is written to from now on, epoch {epoch}"))
        }
        Event::Serving { epoch, after } => {
            let text =
                format!("serves, epoch {epoch}: all copies that count were equal after {} ms", after.as_millis());
            (message_id::VOLUME_SERVING, Notice, None, text)
        }
        Event::PromotionRefused { epoch, why } => {
            let text = format!("this copy is not promoted in epoch {epoch}: {}", unfit(why));
            (message_id::VOLUME_REFUSED, Error, None, text)
        }
        Event::Frozen { peer } => {
            (message_id::VOLUME_FROZEN, Warning, Some(peer), format!("waits for the copy on {}", name(peer)))
        }
        Event::Thawed { after } => {
            (message_id::VOLUME_THAWED, Notice, None, format!("goes on after {} ms", after.as_millis()))
        }
        Event::Dropped { peer } => {
            let text = format!("the copy on {} does not count any more: it misses what is written now", name(peer));
            (message_id::COPY_DROPPED, Warning, Some(peer), text)
        }
        Event::ResyncBegins { peer, blocks, bytes } => {
            let text = format!("copies {blocks} blocks ({bytes} bytes at most) to {}", name(peer));
            (message_id::COPY_RESYNC, Info, Some(peer), text)
        }
        Event::Joined { peer } => {
            (message_id::COPY_JOINED, Notice, Some(peer), format!("the copy on {} is equal", name(peer)))
        }
        Event::Refused { peer, why } => {
            let text = format!("the copy on {} takes nothing from here: {}", name(peer), refusal(why));
            (message_id::COPY_REFUSED, Error, Some(peer), text)
        }
        Event::TooSlow { peer } => {
            let text = format!("the copy on {} does not answer: hung up", name(peer));
            (message_id::COPY_SLOW, Warning, Some(peer), text)
        }
        Event::LeftBehind { peer, lag } => {
            let text = format!(
                "the copy on {} is {} bytes and {} ms behind, more than it may be: left behind, and made equal later",
                name(peer),
                lag.bytes,
                lag.span.as_millis()
            );
            (message_id::COPY_SLOW, Warning, Some(peer), text)
        }
        Event::Deposed { by } => {
            (message_id::VOLUME_ENDED, Warning, None, format!("a later epoch has begun ({by}): this one is over"))
        }
        Event::Sealed { requests } => {
            let text = format!("sealed: {requests} requests under way fail, and so does what comes later");
            (message_id::VOLUME_ENDED, Info, None, text)
        }
        Event::Demoted { epoch } => {
            (message_id::VOLUME_ENDED, Info, None, format!("epoch {epoch} is over; takes in what another node writes"))
        }
        Event::DiskFailed => (message_id::VOLUME_DISK, Error, None, "the disk of this copy failed".into()),
        Event::DiskHangs { after, sealed } => {
            let then = if sealed { "another copy can go on" } else { "no other copy counts, so it is waited for" };
            let text = format!("the disk of this copy has not answered for {} ms: {then}", after.as_millis());
            (message_id::VOLUME_DISK, Error, None, text)
        }
        Event::MetaFailed => {
            (message_id::VOLUME_DISK, Error, None, "the disk did not take the metadata; tried again".into())
        }
        Event::GrowthBegins { from, to } => {
            let text = format!("grows from {from} to {to} bytes: what is new is made zeros on all copies");
            (message_id::VOLUME_GROWN, Info, None, text)
        }
        Event::Grown { size } => {
            (message_id::VOLUME_GROWN, Notice, None, format!("has {size} bytes from now on, on all copies"))
        }
        Event::NotGrown { why } => {
            (message_id::VOLUME_GROWN, Warning, None, format!("does not grow: {}", no_growth(config, why)))
        }
        Event::VerifyBegins => {
            (message_id::COPIES_VERIFIED, Info, None, "looks at all blocks of all copies that are equal".into())
        }
        Event::Differs { peer, at, len } => {
            let text = format!("{len} bytes at {at} are not the same on {}", name(peer));
            (message_id::COPY_DIFFERS, Error, Some(peer), text)
        }
        Event::Verified { compared, differ: 0 } => {
            let text = format!("{compared} blocks were compared: all are the same");
            (message_id::COPIES_VERIFIED, Notice, None, text)
        }
        Event::Verified { compared, differ } => {
            let text = format!("{compared} blocks were compared: {differ} are not the same, and are copied again");
            (message_id::COPIES_VERIFIED, Error, None, text)
        }
        Event::NotWhole { peer } => {
            let text = format!("a mixture of old and new from now on, until {} has copied everything", name(peer));
            (message_id::COPY_RESYNC, Notice, Some(peer), text)
        }
    }
}

fn no_growth(config: &Config, why: NoGrowth) -> String {
    let name = |node| config.node_name(node);
    match why {
        NoGrowth::NotHere => "this copy is not the one that is written to: ask there (hotspare status)".into(),
        NoGrowth::UnderWay => "that is under way already".into(),
        NoGrowth::Missing(node) => format!("the copy on {} is not there or not equal, and must be", name(node)),
        NoGrowth::NoRoom(node) => format!(
            "the copy on {} has no room for more: make its backing larger and restart hotspare-replicate@ there",
            name(node)
        ),
        NoGrowth::Failed => "a disk did not take the zeros".into(),
    }
}

fn unfit(why: Unfit) -> String {
    match why {
        Unfit::NotWhole => "it is a mixture of old and new, its resync never ended".into(),
        Unfit::LaterEpoch(epoch) => format!("it has heard of epoch {epoch}"),
        Unfit::OtherGeneration(generation) => format!("it is a copy of other data (generation {generation:x})"),
    }
}

fn refusal(why: Refusal) -> String {
    match why {
        Refusal::LaterEpoch(epoch) => format!("it has heard of epoch {epoch}"),
        Refusal::OtherGeneration(generation) => {
            format!(
                "it is a copy of other data (generation {generation:x}); `hotspare-replicate create --again` there makes it one of this"
            )
        }
        Refusal::OtherVolume => "it is another volume".into(),
        Refusal::NoRoom(room) => format!("it has room for {room} bytes only: make its backing larger, and restart it"),
        Refusal::NotWhole => "it counts and is not whole: look at its journal and its disk before anything else".into(),
        Refusal::Busy => "it is not done with its own role yet".into(),
    }
}
