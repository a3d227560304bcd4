//! Who waits for a proof: the lease client of this node, which may have ordered the shot or just profit by it. What it knows of the
//! other node when the shot begins is what the proof is for (F1), so it is told before and after.

use hotspare_config::Proof;
use hotspare_control::{Ask, Client, ControlError, Order, Tell};
use std::time::Duration;

/// Nobody is kept from shooting by a daemon that does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Shot(Client);

impl Shot {
    /// Says that `node` is about to be switched off.
    ///
    /// # Errors
    /// If nobody hears of it, in words.
    pub fn begin(node: &str) -> Result<Shot, String> {
        // If this was ordered, it is being done now; a lease client that is gone must not make it be done again and again.
        Order::new(node, "fence").take_back();
        let begun = || -> Result<(Client, Tell), ControlError> {
            let mut client = Client::leased()?;
            client.patience(Some(PATIENCE))?;
            let said = client.call(&Ask::Fence { node: node.into() })?;
            Ok((client, said))
        };
        match begun() {
            Ok((client, Tell::Done { text })) => {
                eprintln!("hotspare-fence: {text}");
                Ok(Shot(client))
            }
            Ok((_, Tell::Error { reason, .. })) => Err(reason),
            Ok((_, other)) => Err(format!("unexpected answer {other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Says what became of it.
    pub fn end(mut self, proof: Option<Proof>) {
        let proof = proof.map(|proof| proof.word().to_owned());
        match self.0.call(&Ask::Fenced { proof }) {
            Ok(Tell::Done { text }) => eprintln!("hotspare-fence: {text}"),
            Ok(other) => eprintln!("hotspare-fence: unexpected answer {other:?}"),
            Err(error) => eprintln!("hotspare-fence: the lease client did not hear of this: {error}"),
        }
    }
}
