//! The lease client of this node: what it is told of our copy, and what it tells of the copies that count.

use crate::engine::News;
use crate::sockets::Post;
use hotspare_control::{Ask, Client, Tell};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Between two tries to reach it.
const AGAIN: Duration = Duration::from_millis(300);

/// Speaks for a volume of `group` for as long as the program runs. `words` are what the engine has to say; the newest word on the
/// copy itself is said again after each restart of the lease client.
pub fn follow((group, volume): (&str, &str), words: &Receiver<Ask>, news: &Post<News>) {
    let (group, volume) = (group.to_owned(), volume.to_owned());
    let mut worth = Ask::Volume { group, volume, born: false, fit: false };
    loop {
        let Ok(mut client) = Client::leased() else {
            match words.recv_timeout(AGAIN) {
                Ok(word @ Ask::Volume { .. }) => worth = word,
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
            continue;
        };
        if speak(&mut client, &mut worth, words, news).is_none() {
            return;
        }
        std::thread::sleep(AGAIN);
    }
}

/// `None`: the engine is gone.
fn speak(client: &mut Client, worth: &mut Ask, words: &Receiver<Ask>, news: &Post<News>) -> Option<()> {
    let Ok(socket) = client.socket().try_clone() else { return Some(()) };
    let said = client.send(worth);
    let news = news.clone();
    let mut reader = Client::over(socket);
    let listening = std::thread::Builder::new().name("from-leased".into()).spawn(move || {
        while let Ok(tell) = reader.receive() {
            match tell {
                Tell::Copies { epoch, wish, generation, acks, chosen } => {
                    let Ok(generation) = generation.parse() else { continue };
                    if news.send(News::Copies { epoch, wish, generation, acks, chosen }).is_err() {
                        return;
                    }
                }
                Tell::Error { reason, .. } => tracing::warn!("the lease client: {reason}"),
                _ => {}
            }
        }
    });
    let Ok(listening) = listening.map_err(|error| tracing::warn!("no thread: {error}")) else { return Some(()) };
    let mut good = said.is_ok();
    while good && !listening.is_finished() {
        match words.recv_timeout(AGAIN) {
            Ok(word) => {
                if matches!(word, Ask::Volume { .. }) {
                    *worth = word.clone();
                }
                good = client.send(&word).is_ok();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    let _ = client.socket().shutdown(std::net::Shutdown::Both);
    let _ = listening.join();
    Some(())
}
