//! Rules within one container.

use std::ops::Range;

use keelson_image_layout::paths;

use super::sink::{Finding, Findings};
use super::view::{Found, View};
use crate::diagnostic::Code;
use crate::syntax::Broken;
use crate::value::Capability;

pub(crate) fn check(container: View<'_, '_>, broken: &Broken, out: &mut Findings) {
    ports_need_the_bridge(container, out);
    capabilities(container, out);
    let mut targets: Vec<(String, Range<usize>)> = Vec::new();
    for (index, mount) in container.list("mounts").into_iter().enumerate() {
        let path = format!("container.{}.mounts[{index}]", container.name);
        source(mount, &path, broken, out);
        if let Some(target) = mount.text("target") {
            target_is_free(&target, &path, &mut targets, out);
        }
    }
    bus_has_its_place(container, &targets, out);
}

/// The engine mounts the bus; a mount of the document's own there would hide it.
fn bus_has_its_place(container: View<'_, '_>, targets: &[(String, Range<usize>)], out: &mut Findings) {
    let (Some(span), Some((_, mount))) = (
        container.key("bus"),
        targets.iter().find(|(target, _)| target == paths::BUS_SOCKET),
    ) else {
        return;
    };
    let path = format!("container.{}.bus", container.name);
    let message = format!("the bus and a mount have the target {:?}", paths::BUS_SOCKET);
    let finding = Finding::error(Code::MountConflict, span, &path, message).cure("leave the mount out");
    out.push(finding.related("the mount is here", mount.clone()));
}

fn ports_need_the_bridge(container: View<'_, '_>, out: &mut Findings) {
    let Some(network) = container
        .text("network")
        .filter(|n| n.text == "host" || n.text == "none")
    else {
        return;
    };
    let (Some(span), false) = (container.key("ports"), container.texts("ports").is_empty()) else {
        return;
    };
    let message = format!("`ports` has no effect with the network {:?}", network.text);
    let cure = match network.text {
        "host" => "leave `ports` out: the container's ports are the machine's",
        _ => "leave `ports` out, or choose the network \"bridge\"",
    };
    let path = format!("container.{}.ports", container.name);
    let finding = Finding::error(Code::Contradiction, span, &path, message).cure(cure);
    out.push(finding.related("the network is chosen here", network.span));
}

fn capabilities(container: View<'_, '_>, out: &mut Findings) {
    let Some(table) = container.table("capabilities") else {
        return;
    };
    let parse = |found: Found<'_>| found.text.parse::<Capability>().ok().map(|cap| (cap, found.span));
    let dropped: Vec<_> = table.texts("drop").into_iter().filter_map(parse).collect();
    for (capability, span) in table.texts("add").into_iter().filter_map(parse) {
        let Some((_, other)) = dropped.iter().find(|(dropped, _)| *dropped == capability) else {
            continue;
        };
        let path = format!("container.{}.capabilities", container.name);
        let message = format!("{capability} is both added and dropped");
        let finding = Finding::error(Code::Contradiction, span, &path, message);
        out.push(finding.cure("leave one out").related("dropped here", other.clone()));
    }
}

/// Directories whose content is secret or is the machine's own bookkeeping of secrets.
const SECRET_TREES: [&str; 2] = [paths::SECRETS, paths::RUN_SECRETS];

/// `source` and `size` fit the type of the mount.
fn source(mount: View<'_, '_>, path: &str, broken: &Broken, out: &mut Findings) {
    let Some(kind) = mount.text("type") else { return };
    let source = mount.text("source");
    let source_key = format!("{path}.source");
    match (kind.text, source) {
        ("volume" | "bind", None) if mount.key("source").is_none() && !broken.may_hold("source") => {
            let message = format!("a mount of type {:?} needs a `source`", kind.text);
            let cure = match kind.text {
                "volume" => "add the name of a volume, `source = \"NAME\"`",
                _ => "add a path of the machine, `source = \"/…\"`",
            };
            out.push(Finding::error(Code::MissingKey, kind.span.clone(), &source_key, message).cure(cure));
        }
        ("tmpfs", Some(source)) => {
            let message = "a mount of type \"tmpfs\" has no `source`";
            out.push(Finding::error(Code::Contradiction, source.span, &source_key, message).cure("leave it out"));
        }
        ("volume", Some(source)) if source.text.starts_with(['/', '.']) => {
            let message = "the source of a volume is its name, not a path";
            let cure = "name a volume, or use type = \"bind\" for a path of the machine";
            out.push(Finding::error(Code::BadName, source.span, &source_key, message).cure(cure));
        }
        ("volume", Some(source)) => name_of_volume(&source, &source_key, out),
        ("bind", Some(source)) => bind_source(&source, &source_key, out),
        _ => {}
    }
    if let (Some(span), false) = (mount.key("size"), kind.text == "tmpfs") {
        let message = "`size` is for mounts of type \"tmpfs\"";
        let key = format!("{path}.size");
        out.push(Finding::error(Code::Contradiction, span, &key, message).cure("leave it out"));
    }
}

fn name_of_volume(source: &Found<'_>, key: &str, out: &mut Findings) {
    if let Err((code, error)) = super::string::check(crate::schema::Rule::Name, source.text) {
        out.push(Finding::error(code, source.span.clone(), key, error.problem).cure(error.cure));
    }
}

fn bind_source(source: &Found<'_>, key: &str, out: &mut Findings) {
    match super::string::check(crate::schema::Rule::Path, source.text) {
        Err((code, error)) => {
            out.push(Finding::error(code, source.span.clone(), key, error.problem).cure(error.cure));
        }
        Ok(json) => {
            let normal = json.as_str().unwrap_or_default();
            let below = |tree: &str| {
                normal
                    .strip_prefix(tree)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if let Some(tree) = SECRET_TREES.iter().find(|tree| below(tree)) {
                let message = format!("{tree} holds the machine's secrets");
                let finding = Finding::error(Code::Insecure, source.span.clone(), key, message);
                out.push(finding.cure("hand a secret to a container by `env = { NAME = { secret = \"…\" } }`"));
            }
        }
    }
}

fn target_is_free(target: &Found<'_>, path: &str, seen: &mut Vec<(String, Range<usize>)>, out: &mut Findings) {
    let Ok(json) = super::string::check(crate::schema::Rule::Path, target.text) else {
        return;
    };
    let normal = json.as_str().unwrap_or_default().to_owned();
    let key = format!("{path}.target");
    if normal == "/" {
        let message = "nothing can be mounted over the container's root";
        out.push(
            Finding::error(Code::MountConflict, target.span.clone(), &key, message).cure("name a directory below /"),
        );
    }
    match seen.iter().find(|(earlier, _)| *earlier == normal) {
        Some((_, earlier)) => {
            let message = format!("two mounts have the target {normal:?}");
            let finding = Finding::error(Code::MountConflict, target.span.clone(), &key, message);
            out.push(
                finding
                    .cure("choose another target")
                    .related("the first is here", earlier.clone()),
            );
        }
        None => seen.push((normal, target.span.clone())),
    }
}
