//! Asks until it is answered, then hands the answer on and ends.

use std::process::ExitCode;

use keelson_metadata::ask::{Patience, until_found};
use keelson_metadata::client::ENDPOINTS;

fn main() -> ExitCode {
    keelson_daemon::run("keelson-metadata", async {
        let socket = keelson_image_layout::paths::METADATA_SOCKET.as_ref();
        until_found(&ENDPOINTS, &Patience::default(), socket).await
    })
}
