//! The network of containers: who has which address and port, what the kernel should look like for
//! it, and making it so.

pub mod apply;
mod drivers;
pub mod firewall;
pub mod held;
pub mod ipam;
pub mod netns;
pub mod ports;
pub mod resolver;

use std::path::Path;

use ipam::Subnets;

/// The networks of the default bridge, chosen once per machine and kept in `path`.
///
/// # Errors
/// The file is there but unreadable, or cannot be written.
pub fn load_subnets(path: &Path) -> anyhow::Result<Subnets> {
    use anyhow::Context as _;
    match std::fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).with_context(|| format!("read the network's record {}", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut random = [0u8; 5];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
                .context("choose the network's addresses")?;
            let subnets = Subnets::default_bridge(random);
            let bytes = serde_json::to_vec_pretty(&subnets).context("encode the network")?;
            keelson_durable::replace(path, &bytes, 0o600)
                .with_context(|| format!("keep the network's record {}", path.display()))?;
            Ok(subnets)
        }
        Err(error) => Err(error).with_context(|| format!("read the network's record {}", path.display())),
    }
}
