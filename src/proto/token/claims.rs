//! What a token says.

use data_encoding::HEXLOWER;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use pasetors::{Public, keys::AsymmetricPublicKey};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::PURPOSE;
use super::config::TokenConfig;
use super::fault::TokenFault;
use super::key::{KeyId, TokenSecret};
use super::moment;
use super::pattern::RoomPattern;
use super::role::{Role, Roles};
use crate::proto::id::{AppId, Hex, PeerId};

/// The version of the claims' form.
const VERSION: u32 = 1;

/// What a token says: who may do what, where, and until when. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// In whose rooms.
    pub app: AppId,
    /// Who: the token is worth nothing to anybody else.
    pub peer: PeerId,
    /// In which of the rooms.
    pub rooms: RoomPattern,
    /// What it may do there. Without [`Role::Join`] nothing.
    pub roles: Roles,
    /// How much less of it than others may.
    pub limits: TokenLimits,
    /// From when on.
    pub not_before: u64,
    /// Until when.
    pub expires: u64,
    /// The token's name, by which it can be revoked: 1 to [`Self::MAX_ID`] bytes, different for each
    /// token.
    pub id: String,
}

/// Limits of one peer, below those that the relay has for everybody. What is not there is as for
/// everybody; the lower of the two counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenLimits {
    /// Until when it may speak, in Unix seconds, if it has [`Role::Speak`].
    pub speak_until: Option<u64>,
    /// Signals that are taken of it in a second; 0 for none.
    pub signals_per_second: Option<u32>,
    /// Bytes of frames that are taken of it in a second, on all lanes together. What is over is as if it
    /// had been lost, and comes again; those of a second may come at once.
    pub bytes_per_second: Option<u32>,
}

/// Why no token is made of claims. The text says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// It would be good at no time.
    #[error("the token would end before it begins: set `expires` above `not_before`")]
    NeverGood,
    /// It would be good for too long.
    #[error(
        "the token would be good for {asked} s, over the limit of {limit} s: issue it for less"
    )]
    TooLongLived {
        /// The most seconds.
        limit: u64,
        /// How many it would be.
        asked: u64,
    },
    /// A time cannot be written.
    #[error("the token names a time after the year 9999: name an earlier one")]
    BadTime,
    /// Its name is none.
    #[error("the token's id must have 1 to {} bytes", Claims::MAX_ID)]
    BadId,
    /// It would have too many bytes.
    #[error("the token would have {size} bytes, over the limit of {limit}: name rooms in short")]
    TooLong {
        /// The most bytes.
        limit: usize,
        /// How many it would have.
        size: usize,
    },
}

impl Claims {
    /// The most bytes of a token's [`id`](Self::id).
    pub const MAX_ID: usize = 64;

    /// What `token` says, **whoever wrote it**: to be looked at, and never to be believed.
    ///
    /// # Errors
    ///
    /// [`TokenFault::Missing`], [`TokenFault::TooLong`] or [`TokenFault::Malformed`].
    pub fn unverified(token: &str, config: &TokenConfig) -> Result<(Self, KeyId), TokenFault> {
        let sealed = Sealed::read(token, config)?;
        let payload = str::from_utf8(sealed.token.untrusted_payload());
        let payload = payload.map_err(|_| TokenFault::Malformed)?;
        Ok((Self::read(payload).ok_or(TokenFault::Malformed)?, sealed.key))
    }

    /// Whether they give `role`.
    ///
    /// # Errors
    ///
    /// [`TokenFault::LacksRole`], if not.
    pub const fn require(&self, role: Role) -> Result<(), TokenFault> {
        if self.roles.has(role) { Ok(()) } else { Err(TokenFault::LacksRole { role }) }
    }

    /// The claims in a payload, if they are those of this version and none else.
    pub(super) fn read(payload: &str) -> Option<Self> {
        let Written { v, jti, nbf, exp, cnf, app, room, roles, limits, .. } =
            serde_json::from_str(payload).ok()?;
        let speak_until = match limits.speak_until {
            Some(text) => Some(moment::read(&text)?),
            None => None,
        };
        let claims = Self {
            app: AppId(HEXLOWER.decode(app.as_bytes()).ok()?.try_into().ok()?),
            peer: cnf.kid.parse().ok()?,
            rooms: RoomPattern::new(&room).ok()?,
            roles,
            limits: TokenLimits {
                speak_until,
                signals_per_second: limits.signals_per_second,
                bytes_per_second: limits.bytes_per_second,
            },
            not_before: moment::read(&nbf)?,
            expires: moment::read(&exp)?,
            id: jti,
        };
        let is_good = v == VERSION && claims.is_named() && claims.not_before < claims.expires;
        is_good.then_some(claims)
    }

    /// The payload that says this, always in the same bytes.
    fn write(&self) -> Result<String, IssueError> {
        let time = |seconds| moment::write(seconds).ok_or(IssueError::BadTime);
        let written = Written {
            v: VERSION,
            jti: self.id.clone(),
            nbf: time(self.not_before)?,
            exp: time(self.expires)?,
            cnf: Holder { kid: self.peer.to_string() },
            app: Hex(&self.app.0).to_string(),
            room: self.rooms.to_string(),
            roles: self.roles,
            limits: WrittenLimits {
                speak_until: self.limits.speak_until.map(time).transpose()?,
                signals_per_second: self.limits.signals_per_second,
                bytes_per_second: self.limits.bytes_per_second,
            },
            ..Written::default()
        };
        Ok(serde_json::to_string(&written).expect("texts and numbers become JSON"))
    }

    fn is_named(&self) -> bool {
        (1..=Self::MAX_ID).contains(&self.id.len())
    }
}

impl TokenSecret {
    /// The token that says `claims`: the same text for the same claims.
    ///
    /// # Errors
    ///
    /// When no relay with this `config` would take it, at whatever time.
    pub fn issue(&self, claims: &Claims, config: &TokenConfig) -> Result<String, IssueError> {
        let asked = claims.expires.saturating_sub(claims.not_before);
        let limit = config.lifetime.as_secs();
        if asked == 0 {
            return Err(IssueError::NeverGood);
        }
        if asked > limit {
            return Err(IssueError::TooLongLived { limit, asked });
        }
        if !claims.is_named() {
            return Err(IssueError::BadId);
        }
        let token = self.sign(claims.write()?.as_bytes());
        if token.len() > config.bytes {
            return Err(IssueError::TooLong { limit: config.bytes, size: token.len() });
        }
        Ok(token)
    }
}

/// A token that was read, and not opened.
pub(super) struct Sealed {
    token: UntrustedToken<Public, V4>,
    /// Which key it says has signed it.
    pub(super) key: KeyId,
}

impl Sealed {
    pub(super) fn read(token: &str, config: &TokenConfig) -> Result<Self, TokenFault> {
        if token.is_empty() {
            return Err(TokenFault::Missing);
        }
        if token.len() > config.bytes {
            let (limit, size) = (config.bytes as u64, token.len() as u64);
            return Err(TokenFault::TooLong { limit, size });
        }
        let token = UntrustedToken::try_from(token).map_err(|_| TokenFault::Malformed)?;
        let key = KeyId::from_footer(token.untrusted_footer()).ok_or(TokenFault::Malformed)?;
        Ok(Self { token, key })
    }

    /// What it says, if `key` has signed it.
    pub(super) fn open(&self, key: &AsymmetricPublicKey<V4>) -> Result<Claims, TokenFault> {
        let opened = PublicToken::verify(key, &self.token, None, Some(PURPOSE))
            .map_err(|_| TokenFault::BadSignature)?;
        Claims::read(opened.payload()).ok_or(TokenFault::Malformed)
    }
}

/// The claims as they stand in a token. A claim that is not known is refused, since it may be one
/// that was to narrow what is allowed; but PASETO's own, which many libraries add, say nothing here.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: u32,
    jti: String,
    nbf: String,
    exp: String,
    cnf: Holder,
    app: String,
    room: String,
    roles: Roles,
    #[serde(default, skip_serializing_if = "WrittenLimits::is_empty")]
    limits: WrittenLimits,
    #[serde(default, rename = "iss", skip_serializing)]
    _issuer: IgnoredAny,
    #[serde(default, rename = "sub", skip_serializing)]
    _subject: IgnoredAny,
    #[serde(default, rename = "aud", skip_serializing)]
    _audience: IgnoredAny,
    #[serde(default, rename = "iat", skip_serializing)]
    _issued: IgnoredAny,
}

/// Who has to show that it holds the key (RFC 7800, `cnf`).
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder {
    kid: String,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLimits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speak_until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signals_per_second: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<u32>,
}

impl WrittenLimits {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
