//! What requests are signed with.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

/// What the relay and an application's server share, so that the server knows that it is asked by
/// its relay. In text `whsec_` and base64 (Standard Webhooks).
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

/// Why a text is no secret. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this is no webhook secret: it is written `whsec_` and 24 to 64 bytes in base64")]
pub struct WebhookSecretError;

impl WebhookSecret {
    /// What the header `webhook-signature` says: HMAC-SHA256 of the id, the timestamp and the body,
    /// with points between them.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

impl FromStr for WebhookSecret {
    type Err = WebhookSecretError;

    fn from_str(text: &str) -> Result<Self, WebhookSecretError> {
        text.strip_prefix("whsec_")
            .and_then(|text| BASE64.decode(text.as_bytes()).ok())
            .filter(|secret| (24..=64).contains(&secret.len()))
            .map(Self)
            .ok_or(WebhookSecretError)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        // The example of the specification.
        let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_read_strictly_and_never_shown() {
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let short = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZI";
        for text in ["", "whsec_", short, &good[6..], &good[..37], &format!("{good}=")] {
            assert_eq!(text.parse::<WebhookSecret>(), Err(WebhookSecretError), "{text}");
        }
        let shown = format!("{:?}", good.parse::<WebhookSecret>().unwrap());
        assert_eq!(shown, "WebhookSecret");
    }
}
