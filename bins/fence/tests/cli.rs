//! The program from outside, with devices that are programs: they do as they are told, lie, hang, or are somebody else's.

use assert_cmd::Command;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A fence agent: its machine has power as long as there is a file `on`.
const AGENT: &str = r#"#!/bin/sh
while read -r line; do echo "$line" >> "$PLACE/said"; case "$line" in action=*) action=${line#action=};; esac; done
case "$action" in
metadata) echo '<?xml version="1.0"?><resource-agent name="fence_x"><parameters>
<parameter name="ip" required="1"><content type="string"/></parameter>
<parameter name="password" required="0"><content type="string"/></parameter></parameters></resource-agent>';;
on) touch "$PLACE/on";;
off) test -e "$PLACE/lies" || rm -f "$PLACE/on";;
status) test -e "$PLACE/on" || exit 2;;
*) echo "what is $action?" >&2; exit 1;;
esac
"#;

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new(alpha: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "cluster \"c\"\nnode \"alpha\" key=\"k8TKgT8DfNqaWXhcV8yt8bOBJUFpHCKVIN5rVDVVGHU=\" {{ link \"192.0.2.1\"; {alpha} }}\n\
             node \"beta\" key=\"pGFKr2iVBOLBWx0MhKWG8UEcp2kBiSGZH4rN1JfVrVA=\" {{ link \"192.0.2.2\"; }}\n\
             node \"witness\" key=\"8IvsFFjHK1Lwj6NbRq2EvnWHBlkl5zpKFpUWgSgKA1Y=\" {{ link \"192.0.2.3\"; }}\n\
             group \"default\" {{ candidates \"alpha\" \"beta\"; unit \"x.service\"; }}\n"
        );
        let bench = Bench { folder };
        bench.write("cluster.kdl", &text);
        bench.write("fence_x", AGENT);
        bench.write("on", "");
        bench.write("ipmi", "open sesame\n");
        bench
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn fence(&self, arguments: &[&str]) -> (i32, String) {
        self.fence_as("beta", arguments)
    }

    fn fence_as(&self, me: &str, arguments: &[&str]) -> (i32, String) {
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::cargo_bin("hotspare-fence").unwrap();
        command.args(["--config", self.path("cluster.kdl").to_str().unwrap(), "--node", me]).args(arguments);
        command.env("PATH", path).env("PLACE", self.folder.path()).env("CREDENTIALS_DIRECTORY", self.folder.path());
        let output = command.timeout(Duration::from_secs(60)).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    fn has(&self, name: &str) -> bool {
        Path::new(&self.path(name)).exists()
    }
}

const GOOD: &str =
    "fence \"agent\" \"fence_x\" timeout=\"2s\" { option \"ip\" \"203.0.113.5\"; secret \"password\" \"ipmi\"; }";

#[test]
fn a_node_is_switched_off_and_on_by_an_agent_that_gets_its_options_and_its_secret() {
    let bench = Bench::new(GOOD);
    let (status, text) = bench.fence(&["off", "alpha"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("alpha is off, proven by power-off (level 1"), "{text}");
    assert!(!bench.has("on"));
    let said = fs::read_to_string(bench.path("said")).unwrap();
    for line in ["action=off", "action=status", "nodename=alpha", "ip=203.0.113.5", "password=open sesame"] {
        assert!(said.lines().any(|said| said == line), "{line} in {said}");
    }
    assert_eq!(bench.fence(&["status"]), (0, "alpha  level 1  fence_x  off\n".into()));
    assert_eq!(bench.fence(&["on", "alpha"]).0, 0);
    assert!(bench.has("on"));
    assert_eq!(bench.fence(&["reboot", "alpha"]).0, 0);
    assert!(bench.has("on") && fs::read_to_string(bench.path("said")).unwrap().matches("action=off").count() == 2);
}

#[test]
fn a_device_that_takes_the_command_and_leaves_the_power_on_proves_nothing() {
    let bench = Bench::new(GOOD);
    bench.write("lies", "");
    let (status, text) = bench.fence(&["off", "alpha"]);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("not proven to be off: level 1: fence_x says that there is power still"), "{text}");
    let (status, text) = bench.fence(&["reboot", "alpha"]);
    assert!(status == 1 && !text.contains("has power"), "{text}");
}

#[test]
fn a_device_that_hangs_is_killed_with_its_children_and_the_next_level_does_it() {
    let place = "fence \"run\" \"PLACE/hang\" timeout=\"1s\"; fence \"run\" \"PLACE/plug\" \"7\" level=2";
    let bench = Bench::new("");
    let config = fs::read_to_string(bench.path("cluster.kdl")).unwrap();
    let lines = place.replace("PLACE", bench.folder.path().to_str().unwrap());
    bench.write("cluster.kdl", &config.replace("link \"192.0.2.1\";", &format!("link \"192.0.2.1\"; {lines};")));
    bench.write("hang", "#!/bin/sh\ntail -f /dev/null & echo $! > $PLACE/child\nwait\n");
    bench.write(
        "plug",
        "#!/bin/sh\necho \"$HOTSPARE_NODE $*\" >> $PLACE/said\ncase $2 in off) rm $PLACE/on;; status) test -e $PLACE/on || exit 2;; esac\n",
    );
    let began = Instant::now();
    let (status, text) = bench.fence(&["off", "alpha"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("(level 2") && began.elapsed() < Duration::from_secs(30), "{text}");
    assert_eq!(fs::read_to_string(bench.path("said")).unwrap(), "alpha 7 off\nalpha 7 status\n");
    let child = fs::read_to_string(bench.path("child")).unwrap();
    let gone = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    assert!(gone(child.trim()), "the child of a program that was killed");
}

#[test]
fn everything_but_the_trigger_is_tried() {
    let (status, said) = Bench::new(GOOD).fence(&["test"]);
    assert!(status == 0 && said.starts_with("ok     alpha  level 1  fence_x: on\nself   "), "{said}");
    for (wrong, said) in [
        (GOOD.replace("\"ip\"", "\"ipp\""), "it has no option `ipp`; did you mean `ip`?"),
        (GOOD.replace("\"ip\"", "\"ipp\""), "it needs the option `ip`"),
        (GOOD.replace("\"ipmi\"", "\"nothing\""), "there is no credential \"nothing\""),
        (GOOD.replace("fence_x", "fence_y"), "there is no program fence_y"),
        ("fence \"run\" \"/bin/false\"".into(), "/bin/false status: ended with 1: it said nothing"),
    ] {
        let bench = Bench::new(&wrong);
        let (status, text) = bench.fence(&["test", "alpha"]);
        assert_eq!(status, 1, "{text}");
        assert!(text.contains(said) && text.contains("wrong  alpha"), "{text}");
        assert!(bench.has("on"), "nothing was switched");
    }
    let bench = Bench::new("fence \"run\" \"/bin/sh\" \"-c\" \"exit 2\"");
    assert_eq!(bench.fence(&["test"]).0, 0);
    let (status, text) = bench.fence_as("alpha", &["test"]);
    assert!(status == 1 && text.contains("another one's plug"), "{text}");
}

#[test]
fn who_asks_for_what_cannot_be_is_told_what_can() {
    let bench = Bench::new(GOOD);
    for (arguments, status, said) in [
        (["off", "beta"].as_slice(), 64, "systemctl poweroff"),
        (&["on", "beta"], 78, "\"beta\" has no `fence` in the configuration"),
        (&["off", "gamma"], 78, "it has: alpha, beta, witness"),
        (&["off"], 64, "NODE"),
        (&["claim", "--group", "nobody-holds-this", "/dev/null"], 1, "cannot open the lease page"),
        (&["claim", "/dev/null"], 1, "no block device"),
    ] {
        let (found, text) = bench.fence(arguments);
        assert_eq!(found, status, "{arguments:?}: {text}");
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(Bench::new("").fence(&["list"]).0, 78);
    let (status, text) = bench.fence(&["list"]);
    assert_eq!(
        (status, text.as_str()),
        (0, "alpha  level 1  fence_x ip=203.0.113.5 password=(credential ipmi)  (timeout 2 s)\n")
    );
}
