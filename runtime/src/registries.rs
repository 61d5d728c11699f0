//! How registries are spoken to, as the machine's configuration has it now. The values of passwords
//! are read when the settings are made and live in memory only.

use std::sync::Arc;

use keelson_machine_config::MachineConfig;
use tokio::sync::watch;

use crate::image::{Credentials, RegistrySettings};

/// The present settings, shared by all who pull.
#[derive(Debug, Clone)]
pub struct Registries {
    receiver: watch::Receiver<Arc<crate::image::Registries>>,
}

/// The other end, for whoever reads the configuration.
#[derive(Debug)]
pub struct Publisher {
    sender: watch::Sender<Arc<crate::image::Registries>>,
}

/// Settings that are empty until something is published.
pub fn channel() -> (Publisher, Registries) {
    let (sender, receiver) = watch::channel(Arc::default());
    (Publisher { sender }, Registries { receiver })
}

impl Registries {
    /// The settings of this moment.
    pub fn current(&self) -> Arc<crate::image::Registries> {
        self.receiver.borrow().clone()
    }
}

impl Publisher {
    /// Puts the settings of `config` in force. A password without a value is logged, and its registry
    /// is spoken to without credentials.
    pub fn publish(&self, config: &MachineConfig) {
        let trusted: Vec<String> = config
            .trust
            .ca
            .iter()
            .map(|bundle| bundle.as_pem().to_owned())
            .collect();
        let mut settings = crate::image::Registries::new();
        let others = RegistrySettings {
            trusted: trusted.clone(),
            ..RegistrySettings::default()
        };
        settings.insert(crate::image::OTHERS.to_owned(), others);
        for (host, registry) in &config.registries {
            let credentials = read_credentials(host.as_str(), registry);
            let ca = registry.ca.iter().map(|bundle| bundle.as_pem().to_owned()).collect();
            let mirrors = registry.mirrors.iter().map(|m| m.as_str().to_owned()).collect();
            let plain_http = registry.plain_http;
            let one = RegistrySettings {
                plain_http,
                ca,
                trusted: trusted.clone(),
                mirrors,
                credentials,
            };
            settings.insert(host.as_str().to_owned(), one);
        }
        self.sender.send_replace(Arc::new(settings));
    }
}

fn read_credentials(host: &str, registry: &keelson_machine_config::Registry) -> Option<Credentials> {
    let username = registry.username.clone()?;
    let reference = registry.password.as_ref()?;
    match reference.read() {
        Ok(secret) => {
            let password = secret.expose().trim_end_matches('\n').to_owned();
            Some(Credentials { username, password })
        }
        Err(error) => {
            let error = error.to_string();
            log::error!(registry = host, error = error; "a registry's password cannot be read");
            None
        }
    }
}
