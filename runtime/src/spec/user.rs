//! `user[:group]` → numbers, by the container's own `/etc/passwd` and `/etc/group`. Pure; the texts
//! come in, the host's are never looked at.

/// Who the process is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Home directory; `/` when unknown.
    pub home: String,
}

/// Why there is no such user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A name the image does not know.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// A group the image does not know.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Lines that are not whole are skipped, as every reader of these files does.
fn passwd_entries(text: &str) -> impl Iterator<Item = Passwd<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Passwd {
            name,
            uid,
            gid,
            home: fields.nth(1).unwrap_or_default(),
        })
    })
}

fn group_entries(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Group {
            name,
            gid,
            members: fields.next().unwrap_or_default(),
        })
    })
}

/// Resolves `wanted` (`""`, `user`, `uid`, `user:group`, ...) and the `extra` groups.
///
/// A number need not be known to the image; a name must.
///
/// # Errors
/// A name is unknown.
pub fn resolve_user(wanted: &str, extra: &[String], passwd: &str, group: &str) -> Result<Identity, UserError> {
    let (user, group_name) = wanted.split_once(':').unwrap_or((wanted, ""));
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let entry = passwd_entries(passwd).find(|e| e.name == user || Some(e.uid) == number);
    let uid = entry.as_ref().map(|e| e.uid).or(number);
    let uid = uid.ok_or_else(|| UserError::NoUser(user.to_owned()))?;
    let gid = match group_name {
        "" => entry.as_ref().map_or(0, |e| e.gid),
        name => find_group(name, group)?,
    };
    let mut groups: Vec<u32> = match (&entry, group_name) {
        (Some(entry), "") => member_of(entry.name, group).filter(|g| *g != gid).collect(),
        _ => vec![],
    };
    for name in extra {
        groups.push(find_group(name, group)?);
    }
    groups.sort_unstable();
    groups.dedup();
    let home = entry.map(|e| e.home).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(Identity {
        uid,
        gid,
        groups,
        home: home.to_owned(),
    })
}

fn find_group(name: &str, text: &str) -> Result<u32, UserError> {
    let number: Option<u32> = name.parse().ok();
    group_entries(text)
        .find(|e| e.name == name || Some(e.gid) == number)
        .map(|e| e.gid)
        .or(number)
        .ok_or_else(|| UserError::NoGroup(name.to_owned()))
}

fn member_of<'a>(user: &'a str, text: &'a str) -> impl Iterator<Item = u32> + 'a {
    group_entries(text)
        .filter(move |e| e.members.split(',').any(|member| member == user))
        .map(|e| e.gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:33:www:/var/www:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:www,other\nwww:x:33:\nssl:x:101:www\n";

    fn look(wanted: &str) -> Result<(u32, u32, Vec<u32>, String), UserError> {
        let who = resolve_user(wanted, &[], PASSWD, GROUP)?;
        Ok((who.uid, who.gid, who.groups, who.home))
    }

    #[test]
    fn names_and_numbers() {
        let table: [(&str, u32, u32, &[u32], &str); 7] = [
            ("", 0, 0, &[], "/root"),
            ("www", 33, 33, &[4, 101], "/var/www"),
            ("33", 33, 33, &[4, 101], "/var/www"),
            ("www:adm", 33, 4, &[], "/var/www"),
            ("1000", 1000, 0, &[], "/"),
            ("1000:1000", 1000, 1000, &[], "/"),
            (":adm", 0, 4, &[], "/root"),
        ];
        for (wanted, uid, gid, groups, home) in table {
            let want = (uid, gid, groups.to_vec(), home.to_owned());
            assert_eq!(look(wanted), Ok(want), "{wanted:?}");
        }
    }

    #[test]
    fn unknown_names_are_refused_in_dockers_words() {
        let error = look("nobody").unwrap_err().to_string();
        assert_eq!(error, "unable to find user nobody: no matching entries in passwd file");
        assert_eq!(look("www:nope"), Err(UserError::NoGroup("nope".into())));
    }

    #[test]
    fn extra_groups_are_added_once() {
        let extra = ["adm".to_owned(), "7".to_owned(), "4".to_owned()];
        let who = resolve_user("1000", &extra, PASSWD, GROUP).unwrap();
        assert_eq!(who.groups, [4, 7]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(wanted in ".*", passwd in ".*", group in ".*") {
            let _ = resolve_user(&wanted, &[], &passwd, &group);
        }
    }
}
