//! Checks one string against its rule.

use serde_json::Value as Json;

use crate::diagnostic::Code;
use crate::redact::credential_ranges;
use crate::schema::{FEATURES, Rule};
use crate::value::{
    Bytes, CaBundle, Capability, Destination, FilePath, Hostname, ImageRef, InterfaceAddress, LinkPattern, Mac, Mode,
    Name, ProbeAddress, ProbeUrl, PublishedPort, RegistryHost, ReleaseVersion, RepositoryUrl, Server, Span, SshKey,
    Timezone, ValueError, absolute_path,
};

/// The value as `machine.json` has it, or what is wrong with it.
pub(crate) fn check(rule: Rule, text: &str) -> Result<Json, (Code, ValueError)> {
    let address = matches!(
        rule,
        Rule::Image
            | Rule::RegistryHost
            | Rule::Server
            | Rule::Hostname
            | Rule::ProbeUrl
            | Rule::ProbeAddress
            | Rule::RepositoryUrl
    );
    by_rule(rule, text).map_err(|(code, error)| {
        // Whatever the grammar has to say would quote a part of the password.
        if address && !credential_ranges(text).is_empty() {
            let cure = "leave them out; a registry's stand in its `username` and `password`";
            return (code, ValueError::new("an address holds no name and no password", cure));
        }
        (code, error)
    })
}

fn by_rule(rule: Rule, text: &str) -> Result<Json, (Code, ValueError)> {
    use Code::{BadCertificate, BadImage, BadName, BadPort, BadSshKey, BadValue};
    match rule {
        Rule::Free(max) => free(text, max).map_err(|e| (BadValue, e)),
        Rule::Name => name(text).map_err(|e| (BadName, e)),
        Rule::UserName => user_name(text).map_err(|e| (BadName, e)),
        Rule::EnvName => env_name(text).map_err(|e| (BadName, e)),
        Rule::Hostname => parsed::<Hostname>(text, BadValue),
        Rule::Server => parsed::<Server>(text, BadValue),
        Rule::RegistryHost => parsed::<RegistryHost>(text, BadValue),
        Rule::SshKey => parsed::<SshKey>(text, insecure_or(BadSshKey, text)),
        Rule::Pem => parsed::<CaBundle>(text, insecure_or(BadCertificate, text)),
        Rule::Image => parsed::<ImageRef>(text, BadImage),
        Rule::Port => parsed::<PublishedPort>(text, BadPort),
        Rule::Capability => parsed::<Capability>(text, BadValue),
        Rule::Path => absolute_path(text).map(Json::String).map_err(|e| (BadValue, e)),
        Rule::FilePath => parsed::<FilePath>(text, BadValue),
        Rule::Mode => parsed::<Mode>(text, BadValue),
        Rule::Timezone => Timezone::known(text)
            .map(|zone| string(zone.as_str()))
            .map_err(|e| (BadValue, e)),
        Rule::UserSpec => user_spec(text).map_err(|e| (BadValue, e)),
        Rule::Size(min) => size(text, min),
        Rule::Span(max) => span(text, max),
        Rule::Feature => feature(text),
        Rule::LinkName => link_name(text).map_err(|e| (BadName, e)),
        Rule::LinkPattern => parsed::<LinkPattern>(text, BadName),
        Rule::Driver => driver(text).map_err(|e| (BadName, e)),
        Rule::Mac => parsed::<Mac>(text, BadValue),
        Rule::InterfaceAddress => parsed::<InterfaceAddress>(text, BadValue),
        Rule::Address => address(text).map_err(|e| (BadValue, e)),
        Rule::Destination => parsed::<Destination>(text, BadValue),
        Rule::Domain => domain(text).map_err(|e| (BadValue, e)),
        Rule::ProbeUrl => parsed::<ProbeUrl>(text, BadValue),
        Rule::ProbeAddress => parsed::<ProbeAddress>(text, BadValue),
        Rule::RepositoryUrl => parsed::<RepositoryUrl>(text, BadValue),
        Rule::ReleaseVersion => parsed::<ReleaseVersion>(text, BadValue),
    }
}

fn parsed<T>(text: &str, code: Code) -> Result<Json, (Code, ValueError)>
where
    T: std::str::FromStr<Err = ValueError> + std::fmt::Display,
{
    text.parse::<T>()
        .map(|value| Json::String(value.to_string()))
        .map_err(|error| (code, error))
}

fn insecure_or(code: Code, text: &str) -> Code {
    if text.contains("PRIVATE KEY") {
        Code::Insecure
    } else {
        code
    }
}

fn string(text: &str) -> Json {
    Json::String(text.to_owned())
}

fn free(text: &str, max: usize) -> Result<Json, ValueError> {
    if text.contains('\0') {
        return Err(ValueError::new("the text holds a NUL character", "leave it out"));
    }
    if text.len() > max {
        return Err(ValueError::new(
            format!("the text is longer than {max} bytes"),
            "shorten it",
        ));
    }
    Ok(string(text))
}

/// Longest name of a container, volume or secret.
const MAX_NAME: usize = 63;

fn name(text: &str) -> Result<Json, ValueError> {
    let cure = "use letters, digits, '_', '.' and '-', with a letter or digit first";
    if text.len() > MAX_NAME {
        return Err(ValueError::new(
            format!("the name is longer than {MAX_NAME} bytes"),
            "shorten it",
        ));
    }
    if text.contains(':') || text.parse::<Name>().is_err() {
        return Err(ValueError::new(format!("{text:?} cannot be a name"), cure));
    }
    Ok(string(text))
}

pub(crate) fn link_name(text: &str) -> Result<Json, ValueError> {
    let json = name(text)?;
    if ["lo", "all", "default"].contains(&text)
        || crate::model::network::ENGINE_PREFIXES
            .iter()
            .any(|prefix| text.starts_with(prefix))
    {
        let problem = format!("{text:?} is a name of the system's own");
        return Err(ValueError::new(problem, "choose another name"));
    }
    Ok(json)
}

fn driver(text: &str) -> Result<Json, ValueError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if text.is_empty() || text.len() > 63 || !text.chars().all(good) {
        let cure = "write the kernel's name of it, \"virtio_net\"";
        return Err(ValueError::new(format!("{text:?} is not a driver"), cure));
    }
    Ok(string(text))
}

fn address(text: &str) -> Result<Json, ValueError> {
    match text.parse::<std::net::IpAddr>() {
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() => {
            let cure = "write the address of one machine, \"192.0.2.1\"";
            Err(ValueError::new(format!("{ip} is the address of no machine"), cure))
        }
        Ok(ip) => Ok(Json::String(ip.to_string())),
        Err(_) => {
            let cure = match text.split_once('/') {
                Some((ip, _)) if ip.parse::<std::net::IpAddr>().is_ok() => format!("write {ip:?}"),
                _ => "write numbers, \"192.0.2.1\" or \"2001:db8::1\"; names are not looked up here".to_owned(),
            };
            Err(ValueError::new(format!("{text:?} is not an IP address"), cure))
        }
    }
}

fn domain(text: &str) -> Result<Json, ValueError> {
    crate::value::check_domain(text)?;
    Ok(string(text))
}

fn user_name(text: &str) -> Result<Json, ValueError> {
    let cure = "use a-z, 0-9, '_' and '-', at most 32, with a letter or '_' first";
    if text == "core" {
        return Err(ValueError::new(
            "`core` is the built-in operator",
            "put its keys into `keys` under `[ssh]`",
        ));
    }
    if keelson_image_layout::users::USERS.iter().any(|user| user.name == text) {
        return Err(ValueError::new(
            format!("{text:?} is a user of the system"),
            "choose another name",
        ));
    }
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if !first || text.len() > 32 || !text.chars().all(word) {
        return Err(ValueError::new(format!("{text:?} cannot be a user's name"), cure));
    }
    Ok(string(text))
}

fn env_name(text: &str) -> Result<Json, ValueError> {
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err(ValueError::new(
            format!("{text:?} cannot name an environment variable"),
            "use letters, digits and '_'",
        ));
    }
    Ok(string(text))
}

fn user_spec(text: &str) -> Result<Json, ValueError> {
    let part = |part: &str| {
        let number = part.parse::<u32>().is_ok();
        let name = part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        number || (name && part.len() <= 64)
    };
    let good = match text.split_once(':') {
        None => part(text),
        Some((user, group)) => part(user) && part(group),
    };
    if good {
        Ok(string(text))
    } else {
        Err(ValueError::new(
            format!("{text:?} is not a user"),
            "write USER or USER:GROUP",
        ))
    }
}

fn size(text: &str, min: u64) -> Result<Json, (Code, ValueError)> {
    let bytes: Bytes = text.parse().map_err(|e| (Code::BadValue, e))?;
    if bytes.0 < min {
        let least = Bytes(min);
        let error = ValueError::new(format!("{text} is too little"), format!("give at least {least}"));
        return Err((Code::OutOfRange, error));
    }
    Ok(Json::from(bytes.0))
}

fn span(text: &str, max: u64) -> Result<Json, (Code, ValueError)> {
    let span: Span = text.parse().map_err(|e| (Code::BadValue, e))?;
    if span.0.as_secs() > max {
        let most = Span(std::time::Duration::from_secs(max));
        return Err((
            Code::OutOfRange,
            ValueError::new(format!("{text} is too long"), format!("give at most {most}")),
        ));
    }
    Ok(Json::String(span.to_string()))
}

fn feature(text: &str) -> Result<Json, (Code, ValueError)> {
    if FEATURES.contains(&text) {
        return Ok(string(text));
    }
    let cure = format!(
        "this release ({}) has {}",
        env!("CARGO_PKG_VERSION"),
        FEATURES.join(", ")
    );
    Err((
        Code::UnsupportedFeature,
        ValueError::new(format!("this release has no feature {text:?}"), cure),
    ))
}
