//! A real web server with a certificate of its own, as a publisher of releases runs it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use keelson_qemu_tests::fetch::{free_port, until};
use keelson_qemu_tests::ssh::succeed;

/// The host as QEMU's user network shows it to the guest.
const HOST: &str = "10.0.2.2";

/// nginx, until this value ends.
pub struct WebServer {
    child: Child,
    port: u16,
    certificate: String,
    log: std::path::PathBuf,
}

impl WebServer {
    /// Serves a folder.
    pub fn start(folder: &Path, served: &Path) -> Result<WebServer> {
        let home = folder.join("nginx");
        std::fs::create_dir_all(&home)?;
        let port = free_port()?;
        let (key, certificate) = (home.join("key.pem"), home.join("certificate.pem"));
        succeed(
            Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-nodes",
                    "-days",
                    "2",
                ])
                .args(["-subj", "/CN=updates", "-addext", &format!("subjectAltName=IP:{HOST}")])
                .arg("-keyout")
                .arg(&key)
                .arg("-out")
                .arg(&certificate),
        )
        .context("make a certificate (openssl)")?;
        let configuration = home.join("nginx.conf");
        std::fs::write(&configuration, settings(&home, served, port))?;
        let child = Command::new("/usr/sbin/nginx")
            .arg("-c")
            .arg(&configuration)
            .arg("-p")
            .arg(&home)
            .stdin(Stdio::null())
            .spawn()
            .context("start nginx")?;
        let server = WebServer {
            child,
            port,
            certificate: std::fs::read_to_string(&certificate)?,
            log: home.join("access.log"),
        };
        let listens = || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        until("nginx listens", Duration::from_secs(10), listens, |up| *up)?;
        Ok(server)
    }

    /// `[update]` without its end, and whom to trust.
    pub fn section(&self) -> String {
        format!(
            "[trust]\nca = \"\"\"\n{}\"\"\"\n[update]\naddress = \"https://{HOST}:{}\"\n",
            self.certificate, self.port
        )
    }

    /// Path and bytes of each answer so far.
    pub fn served(&self) -> Result<Vec<(String, u64)>> {
        let text = std::fs::read_to_string(&self.log)?;
        let line = |line: &str| {
            let (bytes, path) = line.split_once(' ')?;
            Some((path.to_owned(), bytes.parse().ok()?))
        };
        Ok(text.lines().filter_map(line).collect())
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(home: &Path, served: &Path, port: u16) -> String {
    let (home, served) = (home.display(), served.display());
    format!(
        "daemon off;\nmaster_process off;\npid {home}/pid;\nerror_log {home}/error.log;\n\
         events {{}}\n\
         http {{\n\
           log_format short '$body_bytes_sent $uri';\n\
           access_log {home}/access.log short;\n\
           client_body_temp_path {home}/body;\n proxy_temp_path {home}/proxy;\n fastcgi_temp_path {home}/fastcgi;\n\
           uwsgi_temp_path {home}/uwsgi;\n scgi_temp_path {home}/scgi;\n\
           server {{\n\
             listen 127.0.0.1:{port} ssl;\n\
             ssl_certificate {home}/certificate.pem;\n ssl_certificate_key {home}/key.pem;\n\
             root {served};\n\
           }}\n\
         }}\n"
    )
}
