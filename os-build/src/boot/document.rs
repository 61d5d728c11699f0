//! The provisioning document of the machine: one container and the registry it comes from.

use super::options::Port;

/// The container to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Image reference.
    pub image: String,
    /// Ports; the guest publishes each under the container's own number.
    pub ports: Vec<Port>,
}

/// How a registry is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryAccess {
    /// Host and port as in the image reference.
    pub host: String,
    /// Without TLS.
    pub plain_http: bool,
}

/// The document, in the native format (`docs/formats/machine-config.md`).
#[must_use]
pub fn document(container: &Container, registry: Option<&RegistryAccess>) -> String {
    let mut text = "schema = 1\n\n[system]\nhostname = \"keelson\"\n".to_owned();
    if let Some(RegistryAccess { host, plain_http }) = registry {
        text.push_str(&format!("\n[registry.{}]\nplain-http = {plain_http}\n", quoted(host)));
    }
    let ports = container
        .ports
        .iter()
        .map(|port| quoted(&port.published()))
        .collect::<Vec<_>>()
        .join(", ");
    text.push_str(&format!(
        "\n[container.web]\nimage = {}\nports = [{ports}]\nrestart = \"always\"\n",
        quoted(&container.image)
    ));
    text
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_would_accept_it() {
        let container = Container {
            image: "10.0.2.2:5000/keelson/demo:1".into(),
            ports: vec!["8080:80".parse().unwrap()],
        };
        let access = RegistryAccess {
            host: "10.0.2.2:5000".into(),
            plain_http: true,
        };
        let text = document(&container, Some(&access));
        let found = keelson_machine_config::validate("user-data", text.as_bytes());
        assert!(found.accepted.is_some(), "{text}");
    }

    #[test]
    fn what_is_given_cannot_break_out_of_its_string() {
        let container = Container {
            image: "a\"\n[x]".into(),
            ports: vec![],
        };
        assert!(
            document(&container, None)
                .parse::<toml::Table>()
                .unwrap()
                .get("x")
                .is_none()
        );
    }
}
