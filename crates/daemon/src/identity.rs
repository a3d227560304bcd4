//! Who this machine is: its name, and the private key that proves it.

use crate::exit::{Exit, Failure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hotspare_config::{Config, Node};
use hotspare_wire::{Cluster, Endpoint, Key, Service};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where `hotspare keygen` puts the key and units load their credential from.
pub const KEY: &str = "/etc/hotspare/node.key";
/// The optional shared secret of the cluster.
pub const SECRET: &str = "/etc/hotspare/cluster.secret";

/// The host name, as the configuration is expected to spell it.
///
/// # Errors
/// If the kernel does not tell.
pub fn host_name() -> Result<String, Failure> {
    let name = nix::unistd::gethostname().map_err(Exit::OsErr.why("cannot read the host name"))?;
    name.into_string()
        .map_err(|name| Failure::new(Exit::OsErr, format!("the host name {} is not text", name.display())))
}

/// The node of `config` that this machine is: called `name`, or like the host.
///
/// # Errors
/// If the configuration has no such node.
pub fn this_node<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Node, Failure> {
    let name = match name {
        Some(name) => name.to_owned(),
        None => host_name()?,
    };
    let short = name.split('.').next().unwrap_or_default();
    let node = config.node(&name).or_else(|| config.node(short)).ok_or_else(|| {
        let known: Vec<_> = config.nodes.iter().map(|node| node.name.as_str()).collect();
        let known = known.join(", ");
        let help = "name the machine like its node, or say which one it is with --node";
        Failure::new(Exit::Config, format!("the cluster has no node \"{name}\" (it has {known}); {help}"))
    })?;
    if config.is_lost(&node.name) {
        let message = format!(
            "\"{}\" was declared lost for good: it takes no part in the cluster \"{}\" before somebody brings it back (hotspare force --back {0})",
            node.name, config.cluster
        );
        return Err(Failure::new(Exit::Config, message));
    }
    Ok(node)
}

fn credential(name: &str, fallback: &str) -> PathBuf {
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(folder) if Path::new(&folder).join(name).exists() => Path::new(&folder).join(name),
        _ => PathBuf::from(fallback),
    }
}

/// The private key of this machine: the credential `node.key`, else [`KEY`].
///
/// # Errors
/// If there is none, it is not a key, or it is not `node`'s.
pub fn key_of(node: &Node) -> Result<Key, Failure> {
    let path = credential("node.key", KEY);
    let shown = path.display();
    let text = std::fs::read_to_string(&path)
        .map_err(Exit::Config.why(format!("cannot read the private key {shown} (hotspare keygen makes one)")))?;
    let key =
        parse_key(&text).ok_or_else(|| Failure::new(Exit::DataErr, format!("{shown} does not hold a private key")))?;
    if key.public() != node.key {
        let message = format!(
            "{shown} is not the key of \"{}\": its public key is {}; put that into the configuration, or restore the key",
            node.name,
            STANDARD.encode(key.public())
        );
        return Err(Failure::new(Exit::Config, message));
    }
    Ok(key)
}

/// Reads a private key as `hotspare keygen` writes it.
#[must_use]
pub fn parse_key(text: &str) -> Option<Key> {
    let line = text.lines().find(|line| !line.starts_with('#'))?;
    Some(Key(STANDARD.decode(line.trim()).ok()?.try_into().ok()?))
}

/// What goes on the disk for `key`, and its public half in base64.
#[must_use]
pub fn format_key(key: &Key) -> (String, String) {
    let public = STANDARD.encode(key.public());
    (format!("# private key of a hotspare node, public key {public}\n{}\n", STANDARD.encode(key.0)), public)
}

/// One end of the sessions of `service` with all nodes that are not lost; a handshake is repeated after `patience`.
#[must_use]
pub fn endpoint(config: &Config, key: &Key, service: Service, patience: Duration) -> Endpoint {
    let seed = u32::try_from(crate::clock::seed() >> 32).expect("32 bits");
    let mut endpoint = Endpoint::new(key.clone(), cluster_of(config), service, patience, seed);
    config.living().for_each(|node| endpoint.add_peer(node.id, node.key));
    endpoint
}

/// What all nodes of the cluster share in their handshakes.
#[must_use]
pub fn cluster_of(config: &Config) -> Cluster {
    let secret = std::fs::read(credential("cluster.secret", SECRET)).unwrap_or_default();
    Cluster::new(&config.cluster, secret.trim_ascii(), config.era())
}
