//! Against a real registry (Debian's `docker-registry`): TLS with a self-signed certificate, basic
//! authentication, images in both dialects. Skipped with the reason where the programs are missing.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fixture::{TarBuilder, config};
use super::ingest::padding;
use super::registry::RegistrySettings;
use super::{Credentials, Digest, PullError, PullOptions, Registries, Store, pull};
use keelson_https::client_config;

/// `core` with the password `secret`, bcrypt.
const HTPASSWD: &str = "core:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";

/// A registry process; killed when dropped.
struct Registry {
    process: Child,
    host: String,
    certificate: String,
    dir: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// Starts a registry whose certificate is for `name`; says why it cannot.
    fn start(name: &str) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let (key, certificate) = make_certificate(dir.path(), name)?;
        std::fs::write(dir.path().join("htpasswd"), HTPASSWD).unwrap();
        let host = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let settings = dir.path().join("config.yml");
        let at = dir.path().display();
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {at}/data}}}}\n\
             http: {{addr: \"{host}\", secret: x, tls: {{certificate: {}, key: {}}}}}\n\
             auth: {{htpasswd: {{realm: test, path: {at}/htpasswd}}}}\n",
            certificate.display(),
            key.display()
        );
        std::fs::write(&settings, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("docker-registry: {error}"))?;
        let certificate = std::fs::read_to_string(certificate).unwrap();
        let registry = Self {
            process,
            host,
            certificate,
            dir,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&registry.host).is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    fn options(&self, password: &str, trusted: bool) -> PullOptions {
        let settings = RegistrySettings {
            ca: if trusted {
                vec![self.certificate.clone()]
            } else {
                vec![foreign_certificate(self.dir.path())]
            },
            credentials: Some(Credentials {
                username: "core".to_owned(),
                password: password.to_owned(),
            }),
            ..RegistrySettings::default()
        };
        PullOptions {
            registries: Arc::new(Registries::from([(self.host.clone(), settings)])),
            retry: super::RetryPolicy {
                attempts: 1,
                ..super::RetryPolicy::default()
            },
            ..PullOptions::default()
        }
    }

    async fn push(&self, repository: &str, tag: &str, media_type: &str, manifest: &str, blobs: &[Vec<u8>]) {
        let tls = client_config(std::slice::from_ref(&self.certificate)).unwrap();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .build()
            .unwrap();
        let base = format!("https://{}/v2/{repository}", self.host);
        for blob in blobs {
            let started = http
                .post(format!("{base}/blobs/uploads/"))
                .basic_auth("core", Some("secret"));
            let started = started.send().await.unwrap().error_for_status().unwrap();
            let location = started.headers()["location"].to_str().unwrap();
            let put = http.put(format!("{location}&digest={}", Digest::of(blob)));
            let put = put.basic_auth("core", Some("secret")).body(blob.clone());
            put.send().await.unwrap().error_for_status().unwrap();
        }
        let put = http
            .put(format!("{base}/manifests/{tag}"))
            .basic_auth("core", Some("secret"));
        let put = put.header("content-type", media_type).body(manifest.to_owned());
        put.send().await.unwrap().error_for_status().unwrap();
    }
}

/// A self-signed certificate, which is also an authority as `openssl` makes them.
fn make_certificate(dir: &Path, name: &str) -> Result<(PathBuf, PathBuf), String> {
    let (key, certificate) = (dir.join("key.pem"), dir.join("certificate.pem"));
    let status = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=registry", "-addext", &format!("subjectAltName={name}")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("openssl: {error}"))?;
    if status.success() {
        Ok((key, certificate))
    } else {
        Err("openssl makes no certificate".to_owned())
    }
}

fn foreign_certificate(dir: &Path) -> String {
    let other = dir.join("other");
    let _ = std::fs::create_dir(&other);
    std::fs::read_to_string(make_certificate(&other, "IP:127.0.0.1").unwrap().1).unwrap()
}

fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

fn tars() -> Vec<Vec<u8>> {
    let lower = TarBuilder::default()
        .dir("bin")
        .file("bin/hello", &[3; 70_000])
        .file("old", b"1")
        .finish();
    vec![
        lower,
        TarBuilder::default()
            .file("new", &[4; 100])
            .file(".wh.old", b"")
            .finish(),
    ]
}

/// Blobs and manifest of an image in one of the dialects.
fn image(docker: bool) -> (&'static str, String, Vec<Vec<u8>>) {
    let tars = tars();
    let diff_ids: Vec<Digest> = tars.iter().map(|tar| Digest::of(tar)).collect();
    let (document, configuration, layer) = if docker {
        (
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        )
    } else {
        (
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+zstd",
        )
    };
    let mut blobs: Vec<Vec<u8>> = tars
        .iter()
        .map(|tar| {
            if docker {
                gzip(tar)
            } else {
                zstd::encode_all(tar.as_slice(), 1).unwrap()
            }
        })
        .collect();
    let descriptor = |media_type: &str, blob: &[u8]| {
        format!(
            r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#,
            Digest::of(blob),
            blob.len()
        )
    };
    let layers: Vec<String> = blobs.iter().map(|blob| descriptor(layer, blob)).collect();
    let config = config(&diff_ids).into_bytes();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{document}","config":{},"layers":[{}]}}"#,
        descriptor(configuration, &config),
        layers.join(",")
    );
    blobs.push(config);
    (document, manifest, blobs)
}

#[tokio::test]
async fn pulls_both_dialects_over_self_signed_tls_with_a_password() {
    let registry = match Registry::start("IP:127.0.0.1") {
        Ok(registry) => registry,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for (tag, docker) in [("docker", true), ("oci", false)] {
        let (media_type, manifest, blobs) = image(docker);
        registry.push("demo/app", tag, media_type, &manifest, &blobs).await;
        let reference = format!("{}/demo/app:{tag}", registry.host).parse().unwrap();
        let pulled = pull(&store, &reference, &registry.options("secret", true))
            .await
            .unwrap();
        assert_eq!(pulled.digest, Digest::of(manifest.as_bytes()));
        // Both have the same configuration, so the second is the first under one more name.
        assert_eq!(store.image(&reference.to_string()).unwrap().id, pulled.id);
    }
    let images = store.images().unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!((images[0].repo_tags.len(), images[0].repo_digests.len()), (2, 2));
    assert_eq!(images[0].size, tars().iter().map(|tar| tar.len() as u64).sum::<u64>());
    assert_eq!(padding(images[0].size), 0);
}

#[tokio::test]
async fn refuses_strangers_and_is_refused_with_a_wrong_password() {
    let registry = match Registry::start("IP:127.0.0.1") {
        Ok(registry) => registry,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let reference = format!("{}/demo/app:1", registry.host).parse().unwrap();
    let stranger = pull(&store, &reference, &registry.options("secret", false))
        .await
        .unwrap_err();
    assert!(format!("{stranger:?}").contains("InvalidCertificate"), "{stranger:?}");
    let refused = pull(&store, &reference, &registry.options("wrong", true))
        .await
        .unwrap_err();
    assert!(matches!(refused, PullError::Denied { .. }), "{refused:?}");
    let missing = pull(&store, &reference, &registry.options("secret", true))
        .await
        .unwrap_err();
    assert!(matches!(missing, PullError::NotFound { .. }), "{missing:?}");
}

#[tokio::test]
async fn a_configured_certificate_for_another_name_is_refused() {
    let registry = match Registry::start("DNS:elsewhere.example") {
        Ok(registry) => registry,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let reference = format!("{}/demo/app:1", registry.host).parse().unwrap();
    let refused = pull(&store, &reference, &registry.options("secret", true))
        .await
        .unwrap_err();
    assert!(format!("{refused:?}").contains("NotValidForName"), "{refused:?}");
}
