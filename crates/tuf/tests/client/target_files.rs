//! Downloads of targets.

use keelson_tuf::{Clock, Error, FetchError, Mismatch, Problem};

use crate::repository::{Machine, Repository, TODAY, refusal, run, time};

const NAME: &str = "releases/cloud/1.0/manifest.json";

/// Offers `data` under `NAME`, serves `served` instead, and downloads.
fn download(data: &[u8], served: Option<&[u8]>) -> (Result<(), Error>, Vec<u8>, Vec<String>) {
    let mut repository = Repository::new();
    repository.add_target(NAME, data);
    repository.publish();
    let machine = Machine::new(&repository);
    let mut client = machine.client();
    let set = run(client.refresh(Clock::Trusted(time(TODAY)))).unwrap();
    let target = run(client.find(&set, NAME)).unwrap().unwrap();
    match served {
        Some(served) => repository.put(target.location().path(), served.to_vec()),
        None => repository.remove(target.location().path()),
    }
    repository.asked();
    let mut out = Vec::new();
    let result = run(client.download(&target, &mut out));
    (result, out, repository.asked())
}

#[test]
fn a_target_is_fetched_under_its_hash() {
    let data = vec![7; 5000];
    let (result, out, asked) = download(&data, Some(&data));
    result.unwrap();
    assert_eq!(out, data);
    let hash = keelson_tuf::Hashes::sha256_of(&data).for_name().to_owned();
    assert_eq!(asked, [format!("releases/cloud/1.0/{hash}.manifest.json")]);
}

#[test]
fn other_bytes_are_refused() {
    let data = vec![7; 5000];
    let mut flipped = data.clone();
    flipped[4321] ^= 1;
    let longer = vec![7; 1 << 20];
    let problem = |served: &[u8]| {
        let (result, out, _) = download(&data, Some(served));
        assert!(out.len() <= data.len(), "never more than was signed");
        let (file, problem) = refusal(result);
        assert_eq!(file, NAME);
        let Problem::Bytes(mismatch) = problem else {
            panic!("{problem}")
        };
        mismatch
    };
    assert!(matches!(
        problem(&flipped),
        Mismatch::Hash {
            algorithm: "sha256",
            ..
        }
    ));
    assert_eq!(problem(&longer), Mismatch::Longer { length: 5000 });
    assert_eq!(
        problem(&data[..4000]),
        Mismatch::Shorter {
            length: 5000,
            found: 4000
        }
    );
    assert!(matches!(
        download(&data, None).0,
        Err(Error::Fetch {
            source: FetchError::NotFound,
            ..
        })
    ));
}

#[test]
fn what_is_read_into_memory_is_bounded() {
    let mut repository = Repository::new();
    repository.add_target(NAME, &[0; 100]);
    repository.publish();
    let machine = Machine::new(&repository);
    let target = machine.find(NAME).unwrap().unwrap();
    repository.asked();
    assert_eq!(run(machine.client().read(&target, 100)).unwrap(), [0; 100]);
    repository.asked();
    assert!(matches!(
        run(machine.client().read(&target, 99)),
        Err(Error::LongTarget { limit: 99, .. })
    ));
    assert!(repository.asked().is_empty());
}

#[test]
fn a_disk_that_is_full_is_named() {
    let mut repository = Repository::new();
    repository.add_target(NAME, &[0; 100]);
    repository.publish();
    let machine = Machine::new(&repository);
    let target = machine.find(NAME).unwrap().unwrap();
    let mut full = [0; 50];
    let error = run(machine.client().download(&target, &mut full.as_mut_slice())).unwrap_err();
    assert!(
        matches!(error, Error::Write { .. }) && error.to_string().contains(NAME),
        "{error}"
    );
}

#[test]
fn a_name_that_leaves_the_repository_is_no_target() {
    let mut repository = Repository::new();
    let file = keelson_tuf::metadata::TargetFile::describe(b"");
    repository.targets.targets.insert("../up".to_owned(), file);
    repository.publish();
    let machine = Machine::new(&repository);
    assert!(matches!(machine.find("../up"), Err(Error::TargetName { .. })));
    assert!(machine.find("missing").unwrap().is_none());
}
