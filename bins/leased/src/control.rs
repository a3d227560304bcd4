//! The control socket: connections in, questions to the loop, answers out. Nothing here decides.

use hotspare_control::{Ask, LEASED, LINE_MAX, Tell};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Connections at a time; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 64;

/// Names a connection.
pub type Caller = u64;

/// What a caller did.
pub enum Call {
    Asks { caller: Caller, root: bool, ask: Ask, answer: Sender<Tell> },
    HungUp { caller: Caller },
}

/// Starts listening; calls come in on the receiver.
///
/// # Errors
/// If the socket cannot be made.
pub fn listen() -> std::io::Result<Receiver<Call>> {
    let path = Path::new(LEASED);
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    let (sender, receiver) = channel(CONNECTIONS_MAX);
    tokio::spawn(accept(listener, sender));
    Ok(receiver)
}

async fn accept(listener: UnixListener, calls: Sender<Call>) {
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    let mut caller = 0;
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        caller += 1;
        let calls = calls.clone();
        tokio::spawn(async move {
            let _place = place;
            let _ = serve(caller, stream, &calls).await;
            let _ = calls.send(Call::HungUp { caller }).await;
        });
    }
}

async fn serve(caller: Caller, stream: UnixStream, calls: &Sender<Call>) -> std::io::Result<()> {
    let root = stream.peer_cred().is_ok_and(|peer| peer.uid() == 0);
    let (answer, mut answers) = channel::<Tell>(16);
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut lines).take(LINE_MAX as u64);
        tokio::select! {
            read = limited.read_until(b'\n', &mut line) => {
                if read? == 0 {
                    return Ok(());
                }
                match serde_json::from_slice(&line) {
                    Ok(ask) => {
                        let call = Call::Asks { caller, root, ask, answer: answer.clone() };
                        if calls.send(call).await.is_err() {
                            return Ok(());
                        }
                    }
                    Err(error) => {
                        let reason = format!("this request is not understood: {error}");
                        write.write_all(&encode(&Tell::Error { reason, denied: false })).await?;
                    }
                }
            }
            Some(tell) = answers.recv() => write.write_all(&encode(&tell)).await?,
        }
    }
}

fn encode(tell: &Tell) -> Vec<u8> {
    let mut line = serde_json::to_vec(tell).expect("answers are plain data");
    line.push(b'\n');
    line
}
