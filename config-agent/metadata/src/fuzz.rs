//! Entry points for fuzzing.

use crate::ec2;

/// Answers of a metadata service: token, text, list of keys.
pub fn answers(data: &[u8]) {
    let _ = ec2::parse_token(data);
    if let Ok(text) = ec2::parse_text("/", data.to_vec()) {
        assert!(ec2::parse_key_list(&text).len() <= 16);
    }
}
