//! The same repository from a folder, as on a USB volume.

use std::fs;

use keelson_tuf::{Client, Clock, Error, FetchError, Folder};

use crate::repository::{Machine, Repository, TODAY, run, time};

#[test]
fn a_repository_in_a_folder_is_trusted_as_one_on_a_server() {
    let mut repository = Repository::new();
    let data = vec![3; 200_000];
    repository.add_target("releases/root.frames", &data);
    repository.publish();
    let volume = tempfile::tempdir().unwrap();
    for (name, file) in &repository.server.0.lock().unwrap().files {
        let kind = if name.ends_with(".json") { "metadata" } else { "targets" };
        let path = volume.path().join(kind).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    let machine = Machine::new(&repository);
    let root = repository.file("1.root.json");
    let folder = Folder::new(volume.path());
    let mut client = Client::new(folder.clone(), machine.store(), &root, machine.limits).unwrap();
    let set = run(client.refresh(Clock::Trusted(time(TODAY)))).unwrap();
    let target = run(client.find(&set, "releases/root.frames")).unwrap().unwrap();
    assert_eq!(run(client.read(&target, 1 << 20)).unwrap(), data);
    fs::remove_file(folder.path(target.location())).unwrap();
    let gone = run(client.read(&target, 1 << 20));
    assert!(matches!(
        gone,
        Err(Error::Fetch {
            source: FetchError::NotFound,
            ..
        })
    ));
}
