//! Users and groups by name, from the text of `/etc/passwd` and `/etc/group`. Static programs have no name service;
//! nothing here opens a file.

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User number.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// A name that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// No such user.
    #[error("there is no user {name:?}")]
    User {
        /// The name.
        name: String,
    },
    /// No such group.
    #[error("there is no group {name:?}")]
    Group {
        /// The name.
        name: String,
    },
}

/// The identity of `user` with the groups it is a member of and `further` ones.
///
/// # Errors
/// [`AccountError`] for a name that is not there; a number needs no entry.
pub fn identity(passwd: &str, group: &str, user: &str, further: &[String]) -> Result<Identity, AccountError> {
    let (uid, gid) = find_user(passwd, user)?;
    let mut groups: Vec<u32> = memberships(group, user).collect();
    for name in further {
        groups.push(find_group(group, name)?);
    }
    groups.sort_unstable();
    groups.dedup();
    groups.retain(|number| *number != gid);
    Ok(Identity { uid, gid, groups })
}

/// Numbers of `user:group`, as the owner of a file.
///
/// # Errors
/// [`AccountError`] for a name that is not there.
pub fn owner(passwd: &str, group: &str, owner: &str) -> Result<(u32, u32), AccountError> {
    let (user, group_name) = owner.split_once(':').unwrap_or((owner, owner));
    Ok((find_user(passwd, user)?.0, find_group(group, group_name)?))
}

fn find_user(passwd: &str, user: &str) -> Result<(u32, u32), AccountError> {
    let entry = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some((name, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    let by_name = entry.clone().find(|(name, ..)| *name == user);
    let number: Option<u32> = user.parse().ok();
    let by_number = || entry.clone().find(|(_, uid, _)| Some(*uid) == number);
    match (by_name.or_else(by_number), number) {
        (Some((_, uid, gid)), _) => Ok((uid, gid)),
        (None, Some(number)) => Ok((number, number)),
        (None, None) if user == "root" => Ok((0, 0)),
        (None, None) => Err(AccountError::User { name: user.to_owned() }),
    }
}

fn find_group(group: &str, name: &str) -> Result<u32, AccountError> {
    let by_name = groups(group).find(|(known, ..)| *known == name).map(|(_, gid, _)| gid);
    let root = (name == "root").then_some(0);
    by_name
        .or_else(|| name.parse().ok())
        .or(root)
        .ok_or_else(|| AccountError::Group { name: name.to_owned() })
}

fn memberships<'a>(group: &'a str, user: &'a str) -> impl Iterator<Item = u32> + 'a {
    groups(group)
        .filter(move |(.., members)| members.split(',').any(|member| member == user))
        .map(|(_, gid, _)| gid)
}

fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some((name, fields.next()?.parse().ok()?, fields.next().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/:/\nnet:x:903:903:links:/:/\ncore:x:1000:1000::/:/\nbroken\n";
    const GROUP: &str = "root:x:0:\nnet:x:903:\nengine:x:907:core,other\nwheel:x:908:core\n";

    #[test]
    fn names_and_numbers() {
        let plain = |user: &str, further: &[&str]| {
            let further: Vec<String> = further.iter().map(|name| (*name).to_owned()).collect();
            identity(PASSWD, GROUP, user, &further).map(|identity| (identity.uid, identity.gid, identity.groups))
        };
        assert_eq!(plain("net", &["engine"]), Ok((903, 903, vec![907])));
        assert_eq!(plain("core", &["wheel"]), Ok((1000, 1000, vec![907, 908])));
        assert_eq!(plain("903", &[]), Ok((903, 903, vec![])));
        assert_eq!(plain("5555", &[]), Ok((5555, 5555, vec![])));
        assert_eq!(plain("nobody", &[]), Err(AccountError::User { name: "nobody".into() }));
        assert_eq!(plain("net", &["x"]), Err(AccountError::Group { name: "x".into() }));
        assert_eq!(owner(PASSWD, GROUP, "root:engine"), Ok((0, 907)));
    }

    #[test]
    fn root_exists_before_any_file_does() {
        assert_eq!(owner("", "", "root:root"), Ok((0, 0)));
    }
}
