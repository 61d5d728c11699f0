//! The table of names: complete references to images. Pure; the store makes it durable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::digest::{Digest, ImageId};
use crate::image::reference::Reference;

/// Version of the table.
const FORMAT: u32 = 1;

/// `images/names.json`. Keys are complete: `docker.io/library/nginx:1`, `docker.io/library/nginx@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    format: u32,
    tags: BTreeMap<String, ImageId>,
    digests: BTreeMap<String, ImageId>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            format: FORMAT,
            tags: BTreeMap::new(),
            digests: BTreeMap::new(),
        }
    }
}

/// Familiar names of one image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Familiar {
    /// `nginx:latest`, sorted.
    pub tags: Vec<String>,
    /// `nginx@sha256:…`, sorted.
    pub digests: Vec<String>,
}

impl Names {
    /// The image of a reference: by its digest when it has one, else by its tag.
    pub fn find(&self, reference: &Reference) -> Option<ImageId> {
        let table = if reference.digest().is_some() {
            &self.digests
        } else {
            &self.tags
        };
        table.get(&reference.to_string()).copied()
    }

    /// Names an image: by tag when the reference has no digest, by digest otherwise.
    pub fn set(&mut self, reference: &Reference, id: ImageId) {
        let table = if reference.digest().is_some() {
            &mut self.digests
        } else {
            &mut self.tags
        };
        table.insert(reference.to_string(), id);
    }

    /// Names an image as pulled: its tag, if there is one, and the manifest's digest.
    pub fn set_pulled(&mut self, reference: &Reference, digest: Digest, id: ImageId) {
        if reference.digest().is_none() {
            self.set(reference, id);
        }
        self.set(&reference.pinned(digest), id);
    }

    /// Takes one name away; the digests of a repository go with the last tag of that repository that
    /// names the same image, as they only say where it came from.
    pub fn remove(&mut self, reference: &Reference) -> Vec<String> {
        let Some(id) = self.find(reference) else {
            return Vec::new();
        };
        let mut removed = vec![reference.familiar()];
        if reference.digest().is_some() {
            self.digests.remove(&reference.to_string());
            return removed;
        }
        self.tags.remove(&reference.to_string());
        let of_repository = |name: &str| name_of(name) == reference.name();
        let still_tagged = self
            .tags
            .iter()
            .any(|(name, tagged)| *tagged == id && of_repository(name));
        if !still_tagged {
            self.digests.retain(|name, named| {
                let goes = *named == id && of_repository(name);
                if goes {
                    removed.extend(familiar(name));
                }
                !goes
            });
        }
        removed
    }

    /// Takes all names of an image away.
    pub fn remove_image(&mut self, id: &ImageId) -> Vec<String> {
        let names = self.familiar(id);
        self.tags.retain(|_, named| named != id);
        self.digests.retain(|_, named| named != id);
        [names.tags, names.digests].concat()
    }

    /// Whether anything names the image.
    pub fn names_image(&self, id: &ImageId) -> bool {
        self.tags.values().chain(self.digests.values()).any(|named| named == id)
    }

    /// Drops names of images that do not exist.
    pub fn retain_images(&mut self, exists: impl Fn(&ImageId) -> bool) {
        self.tags.retain(|_, id| exists(id));
        self.digests.retain(|_, id| exists(id));
    }

    /// The names of an image as people write them.
    pub fn familiar(&self, id: &ImageId) -> Familiar {
        let of = |table: &BTreeMap<String, ImageId>| -> Vec<String> {
            table
                .iter()
                .filter(|(_, named)| *named == id)
                .filter_map(|(name, _)| familiar(name))
                .collect()
        };
        Familiar {
            tags: of(&self.tags),
            digests: of(&self.digests),
        }
    }
}

fn familiar(complete: &str) -> Option<String> {
    complete.parse::<Reference>().ok().map(|reference| reference.familiar())
}

/// Host and repository of a complete name.
fn name_of(complete: &str) -> String {
    complete
        .parse::<Reference>()
        .map_or_else(|_| String::new(), |reference| reference.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn a_tag_moves_and_the_image_left_behind_keeps_its_digest() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let mut names = Names::default();
        names.set_pulled(&reference("app"), Digest::of(b"m1"), old);
        names.set_pulled(&reference("app"), Digest::of(b"m2"), new);
        assert_eq!(names.find(&reference("app")), Some(new));
        assert_eq!(names.familiar(&old).tags, Vec::<String>::new());
        assert_eq!(names.familiar(&old).digests, [format!("app@{}", Digest::of(b"m1"))]);
    }

    #[test]
    fn the_last_tag_takes_the_digests_of_its_repository_along() {
        let id = Digest::of(b"id");
        let mut names = Names::default();
        names.set_pulled(&reference("app:1"), Digest::of(b"m"), id);
        names.set(&reference("app:2"), id);
        names.set(&reference("other:1"), id);
        assert_eq!(names.remove(&reference("app:1")), ["app:1"]);
        assert_eq!(names.remove(&reference("app:2")).len(), 2);
        assert!(names.names_image(&id));
        names.remove(&reference("other:1"));
        assert!(!names.names_image(&id));
    }

    #[test]
    fn a_pull_by_digest_gives_no_tag() {
        let id = Digest::of(b"id");
        let pinned = reference("app").pinned(Digest::of(b"m"));
        let mut names = Names::default();
        names.set_pulled(&pinned, Digest::of(b"m"), id);
        assert_eq!(names.familiar(&id).tags, Vec::<String>::new());
        assert_eq!(names.find(&pinned), Some(id));
        assert_eq!(names.find(&reference("app")), None);
    }
}
