//! Rules that look at several keys at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::nearest::nearest;
use super::sink::{Finding, Findings};
use super::view::{Found, View};
use crate::diagnostic::Code;
use crate::schema::Rule;
use crate::syntax::Broken;
use crate::value::PublishedPort;

/// The most comparisons of names in search of what was meant.
const MAX_COMPARED: usize = 1 << 16;

/// Applies every rule to a document; `json` is what could be read of it.
pub(crate) fn check(root: View<'_, '_>, json: &serde_json::Value, broken: &Broken) -> Findings {
    let mut out = Findings::default();
    references(root, broken, &mut out);
    ports(root, &mut out);
    registries(root, broken, &mut out);
    users(root, &mut out);
    super::network::check_native(root, json, broken, &mut out);
    super::file::check(root, &mut out);
    super::update::check(root, broken, &mut out);
    for container in root.sections("container") {
        super::container::check(container, broken, &mut out);
    }
    out
}

/// Every secret and volume that is named is declared, and the other way round.
fn references(root: View<'_, '_>, broken: &Broken, out: &mut Findings) {
    let containers = root.sections("container");
    let env = containers
        .iter()
        .filter_map(|c| c.table("env"))
        .flat_map(|env| env.secret_refs());
    let passwords = root
        .tables("registry")
        .into_iter()
        .flat_map(|registry| registry.secret_refs());
    let files = root.list("file").into_iter().flat_map(|file| file.secret_refs());
    let secrets: Vec<Found<'_>> = env.chain(passwords).chain(files).collect();
    let volumes: Vec<Found<'_>> = containers
        .iter()
        .flat_map(|container| container.list("mounts"))
        .filter(|mount| mount.text("type").is_some_and(|kind| kind.text == "volume"))
        .filter_map(|mount| mount.text("source"))
        .collect();
    compare(root, "secrets", Code::UnknownSecret, "secret", &secrets, broken, out);
    compare(root, "volume", Code::UnknownVolume, "volume", &volumes, broken, out);
}

fn compare(
    root: View<'_, '_>,
    table: &str,
    code: Code,
    what: &str,
    used: &[Found<'_>],
    broken: &Broken,
    out: &mut Findings,
) {
    let declared = root.sections(table);
    let names: BTreeSet<&str> = declared.iter().map(|view| view.name).collect();
    // Hints cost a comparison with every name.
    let hints = used.len().saturating_mul(names.len()) <= MAX_COMPARED;
    for Found { text, span } in used.iter().filter(|found| !names.contains(found.text)) {
        // What cannot be a name is reported as such, with the value.
        let named = super::string::check(Rule::Name, text).is_ok();
        if !named || broken.tables || broken.keys.contains(*text) {
            continue;
        }
        let example = if what == "secret" { " with a `value`" } else { "" };
        let cure = match hints.then(|| nearest(text, names.iter().copied())).flatten() {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("declare it as `[{table}.{text}]`{example}"),
        };
        let message = format!("the {what} {text:?} is not declared");
        out.push(Finding::error(code, span.clone(), "", message).cure(cure));
    }
    let used: BTreeSet<&str> = used.iter().map(|found| found.text).collect();
    for view in declared.iter().filter(|view| !used.contains(view.name)) {
        let message = format!("the {what} {:?} is declared and not used", view.name);
        out.push(Finding::warning(
            Code::Unused,
            view.span(),
            &format!("{table}.{}", view.name),
            message,
        ));
    }
}

struct Claim<'t> {
    container: &'t str,
    port: PublishedPort,
    span: Range<usize>,
}

/// No two containers want the same port of the machine, and none wants SSH's.
fn ports(root: View<'_, '_>, out: &mut Findings) {
    let mut claims: BTreeMap<u16, Vec<Claim<'_>>> = BTreeMap::new();
    let ssh = has_keys(root);
    for container in root.sections("container") {
        let key = format!("container.{}.ports", container.name);
        for Found { text, span } in container.texts("ports") {
            let Ok(port) = text.parse::<PublishedPort>() else {
                continue;
            };
            if let (Some(ssh), true) = (&ssh, takes_ssh(&port)) {
                let message = "port 22 of the machine is SSH's";
                let finding = Finding::error(Code::PortConflict, span.clone(), &key, message);
                out.push(
                    finding
                        .cure("publish another port")
                        .related("SSH is opened by this key", ssh.clone()),
                );
            }
            let claims = claims.entry(port.host_port.get()).or_default();
            let earlier = claims.iter().find(|claim| claim.port.collides_with(&port));
            if let Some(Claim {
                container: holder,
                span: theirs,
                port: held,
            }) = earlier
            {
                let same = *holder == container.name && *held == port;
                let message = match same {
                    true => "this port is published twice".to_owned(),
                    false => format!("port {} of the machine is published twice", port.host_port),
                };
                let finding = Finding::error(Code::PortConflict, span.clone(), &key, message);
                let first = format!("container {holder:?} has it");
                out.push(finding.cure("publish another port").related(first, theirs.clone()));
            }
            claims.push(Claim {
                container: container.name,
                port,
                span,
            });
        }
    }
}

fn takes_ssh(port: &PublishedPort) -> bool {
    let outside = port.host_address.is_none_or(|address| !address.is_loopback());
    outside && port.host_port.get() == 22 && port.protocol == crate::value::Protocol::Tcp
}

/// The first key that opens SSH.
fn has_keys(root: View<'_, '_>) -> Option<Range<usize>> {
    let core = root.table("ssh").and_then(|ssh| ssh.texts("keys").into_iter().next());
    let users = || {
        root.list("user")
            .into_iter()
            .find_map(|user| user.texts("ssh-keys").into_iter().next())
    };
    core.or_else(users).map(|found| found.span)
}

fn registries(root: View<'_, '_>, broken: &Broken, out: &mut Findings) {
    for registry in root.sections("registry") {
        let path = |key: &str| super::at::dotted(&["registry".into(), registry.name.into(), key.into()]);
        let (user, password) = (registry.key("username"), registry.key("password"));
        let alone = match (&user, &password) {
            (Some(span), None) if !broken.may_hold("password") => Some((span, "username", "password")),
            (None, Some(span)) if !broken.may_hold("username") => Some((span, "password", "username")),
            _ => None,
        };
        if let Some((span, one, other)) = alone {
            let message = format!("`{one}` needs `{other}`");
            let finding = Finding::error(Code::Contradiction, span.clone(), &path(one), message);
            out.push(finding.cure(format!("add `{other} = …`")));
        }
        if registry.flag("plain-http") {
            plain_http(registry, &path("plain-http"), password.is_some(), out);
        }
        for Found { span, .. } in registry
            .texts("mirrors")
            .into_iter()
            .filter(|m| m.text == registry.name)
        {
            let message = "a registry cannot be a mirror of itself";
            out.push(Finding::error(Code::Contradiction, span, &path("mirrors"), message).cure("leave it out"));
        }
    }
}

fn plain_http(registry: View<'_, '_>, path: &str, password: bool, out: &mut Findings) {
    let span = registry.key("plain-http").unwrap_or_default();
    if let Some(ca) = registry.key("ca") {
        let message = "`plain-http` and `ca` exclude each other: HTTP has no certificates";
        let finding = Finding::error(Code::Contradiction, span.clone(), path, message);
        out.push(finding.cure("leave one out").related("the certificates are here", ca));
    }
    if password {
        let message = "the password is sent without encryption";
        let finding = Finding::warning(Code::Insecure, span, path, message);
        out.push(finding.cure("use HTTPS outside of a test"));
    }
}

fn users(root: View<'_, '_>, out: &mut Findings) {
    let mut seen: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    for name in root.list("user").into_iter().filter_map(|user| user.text("name")) {
        match seen.get(name.text) {
            Some(earlier) => {
                let message = format!("the user {:?} is declared twice", name.text);
                let finding = Finding::error(Code::Repeated, name.span, "user.name", message);
                out.push(
                    finding
                        .cure("merge the two")
                        .related("first declared here", earlier.clone()),
                );
            }
            None => drop(seen.insert(name.text, name.span)),
        }
    }
}
