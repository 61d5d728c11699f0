//! The text files by which modules are found at run time, in the formats of kmod.
//!
//! Source: modules.dep(5), depmod(8).

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Module;
use super::closure::closure;

/// Content of the index files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexes {
    /// `path: dependencies`, nearest first: they are loaded from the last to the first.
    pub dep: String,
    /// `alias PATTERN NAME`.
    pub alias: String,
    /// `softdep NAME pre: … post: …`.
    pub softdep: String,
}

/// Index files over these modules; names outside the set are taken for built in.
#[must_use]
pub fn indexes(modules: &[&Module]) -> Indexes {
    let by_name: BTreeMap<String, &Module> = modules.iter().map(|module| (module.name(), *module)).collect();
    let mut indexes = Indexes {
        dep: String::new(),
        alias: String::new(),
        softdep: String::new(),
    };
    for (name, module) in &by_name {
        let mut needed = dependencies(&by_name, name);
        needed.reverse();
        let paths = needed
            .iter()
            .filter_map(|name| by_name.get(name))
            .map(|module| format!(" {}", module.path));
        let _ = writeln!(indexes.dep, "{}:{}", module.path, paths.collect::<String>());
        for alias in &module.info.aliases {
            let _ = writeln!(indexes.alias, "alias {alias} {name}");
        }
        for softdep in &module.info.softdeps {
            let _ = writeln!(indexes.softdep, "softdep {name} {softdep}");
        }
    }
    indexes
}

/// What must be loaded before `name`, in order, without soft dependencies.
fn dependencies(modules: &BTreeMap<String, &Module>, name: &str) -> Vec<String> {
    let infos: BTreeMap<String, super::ModInfo> = modules
        .iter()
        .map(|(name, module)| {
            (
                name.clone(),
                super::ModInfo {
                    softdeps: Vec::new(),
                    ..module.info.clone()
                },
            )
        })
        .collect();
    let builtin: Vec<String> = infos
        .values()
        .flat_map(|info| &info.depends)
        .filter(|name| !infos.contains_key(*name))
        .cloned()
        .collect();
    let borrowed = infos.iter().map(|(name, info)| (name.as_str(), info)).collect();
    let mut order = closure(&borrowed, [name], &builtin).unwrap_or_default();
    order.retain(|other| other != name);
    order
}

#[cfg(test)]
mod tests {
    use super::super::ModInfo;
    use super::*;

    fn module(path: &str, depends: &[&str]) -> Module {
        let info = ModInfo {
            depends: depends.iter().map(|name| (*name).to_owned()).collect(),
            aliases: vec![format!("alias-{}", depends.len())],
            softdeps: vec!["pre: sha256".to_owned()],
            firmware: Vec::new(),
        };
        Module {
            path: path.to_owned(),
            file: path.into(),
            info,
        }
    }

    #[test]
    fn files_have_the_form_kmod_reads() {
        let verity = module("kernel/md/dm-verity.ko", &["dm_bufio", "builtin_one"]);
        let bufio = module("kernel/md/dm-bufio.ko", &["dm_mod"]);
        let core = module("kernel/md/dm-mod.ko", &[]);
        let found = indexes(&[&verity, &bufio, &core]);
        assert_eq!(
            found.dep,
            "kernel/md/dm-bufio.ko: kernel/md/dm-mod.ko\n\
             kernel/md/dm-mod.ko:\n\
             kernel/md/dm-verity.ko: kernel/md/dm-bufio.ko kernel/md/dm-mod.ko\n"
        );
        assert!(found.alias.contains("alias alias-2 dm_verity\n"));
        assert!(found.softdep.contains("softdep dm_mod pre: sha256\n"));
    }
}
