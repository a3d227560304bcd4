//! Decisions in words: what goes into the journal for each event of the core, and what an operator is answered.

use hotspare_config::{Config, Group};
use hotspare_core::lease::{Event, Verdict, Why};
use hotspare_core::{Epoch, NodeId};
use hotspare_daemon::{Priority, message_id, record};
use std::time::Duration;

/// Writes `event` of `group` to the journal; returns the sentence.
pub fn tell(config: &Config, me: &str, group: &Group, event: Event) -> String {
    let words = Words { config, group };
    let (id, priority, sentence) = words.sentence(event);
    let mut fields = vec![("GROUP", group.name.clone()), ("NODE", me.to_owned())];
    let (epoch, peer, reason, span) = parts(event);
    fields.extend(epoch.map(|epoch| ("EPOCH", epoch.to_string())));
    fields.extend(peer.map(|peer| ("PEER", config.node_name(peer).to_owned())));
    fields.extend(reason.map(|why| ("REASON", words.why(why))));
    fields.extend(span.map(|span| ("TOOK_USEC", span.as_micros().to_string())));
    record(id, priority, format!("{}: {sentence}", group.name), &fields);
    sentence
}

fn parts(event: Event) -> (Option<Epoch>, Option<NodeId>, Option<Why>, Option<Duration>) {
    match event {
        Event::Acquired { epoch, from, took } => (Some(epoch), from, None, Some(took)),
        Event::RoleUp { epoch, took } => (Some(epoch), None, None, Some(took)),
        Event::Readopted { epoch }
        | Event::Refreshed { epoch }
        | Event::NobodyLeft { epoch }
        | Event::FailedWhilePaused { epoch } => (Some(epoch), None, None, None),
        Event::Lost { epoch, why } | Event::Released { epoch, why } => (Some(epoch), None, Some(why), None),
        Event::Yielding { epoch, to, why } => (Some(epoch), to, Some(why), None),
        Event::HandedOver { epoch, to, why } => (Some(epoch), Some(to), Some(why), None),
        Event::VoterSilent { voter, .. } | Event::VoterBack { voter, .. } => (None, Some(voter), None, None),
        Event::Shoots { node, silent, .. } => (None, Some(node), None, Some(silent)),
        Event::Fenced { node, .. } => (None, Some(node), None, None),
        Event::BidLost { wait: span } | Event::Abstains { span } => (None, None, None, Some(span)),
        Event::BidStarted { .. }
        | Event::WishRefused { .. }
        | Event::TooManyMoves { .. }
        | Event::UplinkLost
        | Event::UplinkBack
        | Event::Paused
        | Event::Resumed => (None, None, None, None),
    }
}

/// Names for ids.
pub struct Words<'a> {
    pub config: &'a Config,
    pub group: &'a Group,
}

impl Words<'_> {
    fn name(&self, node: NodeId) -> &str {
        self.config.node_name(node)
    }

    fn sentence(&self, event: Event) -> (&'static str, Priority, String) {
        use Priority::{Info, Notice, Warning};
        match event {
            Event::BidStarted { .. } => (message_id::BID_STARTED, Info, "nobody holds the lease: asking for it".into()),
            Event::BidLost { wait } => {
                (message_id::BID_LOST, Info, format!("did not get the lease, next try in {}", span(wait)))
            }
            Event::Acquired { epoch, took, .. } => (
                message_id::ACQUIRED,
                Notice,
                format!("holds the lease, epoch {epoch}, granted by a majority after {}", span(took)),
            ),
            Event::Readopted { epoch } => {
                (message_id::READOPTED, Notice, format!("restarted, and took up the lease of epoch {epoch} again"))
            }
            Event::Lost { epoch, why } => (
                message_id::LOST,
                Warning,
                format!("lost the lease of epoch {epoch}: {}; everything stops now", self.why(why)),
            ),
            Event::Yielding { epoch, to, why } => {
                let to = to.map_or("whoever is ready".into(), |node| self.name(node).to_owned());
                (
                    message_id::YIELDING,
                    Notice,
                    format!("stops the role of epoch {epoch} to hand over to {to}: {}", self.why(why)),
                )
            }
            Event::HandedOver { epoch, to, why } => {
                let to = self.name(to);
                (
                    message_id::HANDED_OVER,
                    Notice,
                    format!("handed over to {to}, which leads in epoch {epoch}: {}", self.why(why)),
                )
            }
            Event::Released { epoch, why } => {
                (message_id::RELEASED, Notice, format!("gave the lease of epoch {epoch} back: {}", self.why(why)))
            }
            Event::Abstains { span: time } => {
                (message_id::ABSTAINS, Warning, format!("will not take the role by itself for {}", span(time)))
            }
            Event::VoterSilent { voter, answering, voters } => {
                let (name, enough) = (self.name(voter), answering * 2 > voters);
                let so = if enough { "still a majority" } else { "no majority" };
                (
                    message_id::VOTER_SILENT,
                    Warning,
                    format!("voter {name} does not answer; {answering} of {voters} do, {so}"),
                )
            }
            Event::VoterBack { voter, answering, voters } => {
                let name = self.name(voter);
                (message_id::VOTER_BACK, Info, format!("voter {name} answers; {answering} of {voters} do"))
            }
            Event::Refreshed { epoch } => {
                (message_id::REFRESHED, Info, format!("brought a voter back in line with epoch {epoch}"))
            }
            Event::WishRefused { verdict } => {
                (message_id::WISH_REFUSED, Warning, format!("refused: {}", self.verdict(verdict)))
            }
            Event::RoleUp { epoch, took } => (
                message_id::ROLE_UP,
                Notice,
                format!("primary in epoch {epoch}: everything is up after {}", span(took)),
            ),
            Event::TooManyMoves { moves } => (
                message_id::TOO_MANY_MOVES,
                Warning,
                format!("took the role {moves} times within an hour without being asked: waits to be asked now"),
            ),
            Event::NobodyLeft { epoch } => (
                message_id::NOBODY_LEFT,
                Priority::Critical,
                format!(
                    "a service failed for good in epoch {epoch} and no other candidate is ready: the group stays down"
                ),
            ),
            Event::FailedWhilePaused { epoch } => (
                message_id::FAILED_WHILE_PAUSED,
                Priority::Error,
                format!("a service failed for good in epoch {epoch}; moves are paused, so it stays down"),
            ),
            Event::Paused => (
                message_id::PAUSED,
                Notice,
                "paused on all candidates: nothing moves by itself until `hotspare resume`".into(),
            ),
            Event::Resumed => (message_id::RESUMED, Notice, "resumed".into()),
            Event::UplinkLost => (
                message_id::UPLINK_LOST,
                Warning,
                "this node does not reach its clients any more: nothing of its `uplink` answers".into(),
            ),
            Event::UplinkBack => (message_id::UPLINK_BACK, Notice, "this node reaches its clients again".into()),
            Event::Shoots { node, silent, left } => {
                let (name, silent) = (self.name(node), span(silent));
                let why = match left {
                    Some(left) => format!("its lease would run for another {}", span(left)),
                    None => "it votes, and there is no majority without it".into(),
                };
                (message_id::SHOOTS, Warning, format!("{name} is to be switched off: silent for {silent}, and {why}"))
            }
            Event::Fenced { node, left } => {
                let so = match left {
                    Some(left) => format!("its lease is over, {} early", span(left)),
                    None => "nobody waits for it any more".into(),
                };
                (message_id::SHOT, Warning, format!("{} is proven to be off: {so}", self.name(node)))
            }
        }
    }

    /// The reason in words.
    #[must_use]
    pub fn why(&self, why: Why) -> String {
        match why {
            Why::NoMajority { answering, voters } => {
                format!("no majority of the voters renewed it in time ({answering} of {voters} were heard)")
            }
            Why::Deposed { by } => format!("{} holds a later epoch", self.name(by)),
            Why::Asked { to } => format!("an operator asked for {}", self.name(to)),
            Why::Stopped => "the role was stopped here".into(),
            Why::GateDied => "the gate died".into(),
            Why::GateExpired => "the gate found the lease at its end".into(),
            Why::Unclaimed => "the role did not start".into(),
            Why::ServiceFailed => "a service failed for good".into(),
            Why::Failback { to } => format!("{} is preferred and has been ready for a while", self.name(to)),
            Why::UplinkLost { to } => {
                format!("this node does not reach its clients any more, and {} does", self.name(to))
            }
            Why::Unwilling => "this node was named as successor but does not stand by any more".into(),
        }
    }

    /// The answer to an operator in words.
    #[must_use]
    pub fn verdict(&self, verdict: Verdict) -> String {
        let me_standby = match self.group.name.as_str() {
            "default" => "systemctl start cluster-standby.target".to_owned(),
            name => format!("systemctl start cluster-standby@{name}.target"),
        };
        match verdict {
            Verdict::Held(epoch) => format!("this node leads in epoch {epoch}"),
            Verdict::HandedTo(node) => format!("{} leads now", self.name(node)),
            Verdict::NoQuorum { answering, voters } => {
                format!("no quorum: only {answering} of {voters} voters answer this node")
            }
            Verdict::HolderBusy(node) => format!("{} is in the middle of a role change; try again", self.name(node)),
            Verdict::HolderSilent(node) => {
                format!(
                    "{} holds the lease and does not answer; it may be cut off from this node only",
                    self.name(node)
                )
            }
            Verdict::NotReady(node) => format!("{} does not stand by (see `hotspare status` there)", self.name(node)),
            Verdict::NotStandby => format!("this node does not stand by; `{me_standby}` makes it"),
            Verdict::NoSuccessor => "no other candidate stands by".into(),
            Verdict::Stopping => "the role of a former tenure is still being stopped here; try again".into(),
            Verdict::Superseded => "another request took the place of this one".into(),
            Verdict::Lost => "the holder lost its lease on the way; the group moves by itself now".into(),
            Verdict::TimedOut => "the holder did not finish stopping its services in time".into(),
        }
    }
}

/// Whether the same wish may be granted later.
#[must_use]
pub fn may_retry(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::NotStandby | Verdict::NotReady(_) | Verdict::NoSuccessor)
}

/// A span as people say it.
#[must_use]
pub fn span(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1000.0;
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 10_000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.0} s", ms / 1000.0)
    }
}
