//! One signed request and its answer.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, Response, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::time::timeout;

use super::config::WebhookConfig;
use super::doorway::{Doorway, NoWay};
use super::target::Target;
use crate::net::clock::Clock;

/// The most bytes of an answer's head.
const MAX_HEAD: usize = 32 << 10;

/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(30);

/// Why a request got no good answer. The text is for who operates the relay.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WebhookFault {
    /// The target's host has no public address.
    #[error("the webhook's host has no public address: set `allow_private` if it is meant so")]
    Inside,
    /// Nobody answers there, or not as HTTP.
    #[error("the webhook's server cannot be reached ({why})")]
    Unreachable {
        /// What the transport says.
        why: String,
    },
    /// The answer was not there in time.
    #[error("the webhook's server did not answer within {} ms", after.as_millis())]
    TimedOut {
        /// How long it was waited.
        after: Duration,
    },
    /// It was sent elsewhere, and did not go.
    #[error("the webhook's server redirects ({status}), which is not followed: give its last URL")]
    Redirected {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is no good one.
    #[error("the webhook's server answered {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is too long.
    #[error("the webhook's answer has more than {limit} bytes")]
    TooLong {
        /// The most bytes that are read.
        limit: usize,
    },
    /// The answer is not what was asked for.
    #[error("the webhook's answer is not as admission.md says")]
    Malformed,
    /// Too many questions wait already.
    #[error("too many questions wait for the webhook's server")]
    Busy,
}

/// Sends requests to one target.
#[derive(Debug)]
pub(super) struct Post {
    client: Client<HttpsConnector<Doorway>, Full<Bytes>>,
    target: Target,
    answer: usize,
}

impl Post {
    /// Must be called within a tokio runtime, as all else here.
    pub(super) fn new(target: Target, config: &WebhookConfig) -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has ciphers for the versions that the library thinks safe")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls);
        let tls = if config.allow_plain { tls.https_or_http() } else { tls.https_only() };
        let connector =
            tls.enable_http1().wrap_connector(Doorway { allow_private: config.allow_private });
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(config.in_flight)
            .http1_max_buf_size(MAX_HEAD)
            .build(connector);
        Self { client, target, answer: config.answer }
    }

    /// Posts JSON, and returns the body of a good answer, all within `patience`.
    pub(super) async fn ask(
        &self,
        id: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<Bytes, WebhookFault> {
        let asked = async { self.body(self.exchange(id, body).await?).await };
        let after = patience;
        timeout(patience, asked).await.unwrap_or(Err(WebhookFault::TimedOut { after }))
    }

    /// Posts JSON. It has arrived if the answer begins well within `patience`; what its body says does
    /// not matter.
    pub(super) async fn tell(
        &self,
        id: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<(), WebhookFault> {
        let mut arrived = false;
        let told = async {
            let response = self.exchange(id, body).await?;
            arrived = true;
            // Read to its end, so that the connection can be used again.
            self.body(response).await.ok();
            Ok(())
        };
        match timeout(patience, told).await {
            Ok(told) => told,
            Err(_) if arrived => Ok(()),
            Err(_) => Err(WebhookFault::TimedOut { after: patience }),
        }
    }

    /// Posts JSON, and returns an answer whose status is good.
    async fn exchange(&self, id: &str, body: Bytes) -> Result<Response<Incoming>, WebhookFault> {
        let timestamp = Clock::unix_micros() / 1_000_000;
        let request = Request::post(self.target.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("parlor/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.target.secret.sign(id, timestamp, &body))
            .body(Full::new(body))
            .map_err(|error| unreachable(&error))?;
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(WebhookFault::Redirected { status: status.as_u16() });
        }
        if !status.is_success() {
            return Err(WebhookFault::Status { status: status.as_u16() });
        }
        Ok(response)
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, WebhookFault> {
        match Limited::new(response.into_body(), self.answer).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(WebhookFault::TooLong { limit: self.answer })
            }
            Err(error) => Err(unreachable(error.as_ref())),
        }
    }
}

/// What an error is in the end.
fn unreachable(error: &(dyn Error + 'static)) -> WebhookFault {
    let mut deepest = error;
    loop {
        if let Some(NoWay::Inside) = deepest.downcast_ref() {
            return WebhookFault::Inside;
        }
        match deepest.source() {
            Some(source) => deepest = source,
            None => return WebhookFault::Unreachable { why: deepest.to_string() },
        }
    }
}
