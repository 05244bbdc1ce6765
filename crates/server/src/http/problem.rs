//! Errors over HTTP: RFC 9457 problem documents, whatever went wrong.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hudhud_proto::v1::ErrorCode;
use hudhud_proto::{ProtocolError, http_status};
use serde::Serialize;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// What `type` begins with: a reference to a page of this server that explains the code (see `pages`).
pub const TYPE_PREFIX: &str = "/problems/";

/// A problem on its way to a client.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    error: ProtocolError,
}

/// A problem as it is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    retry_after_ms: u32,
}

impl Problem {
    /// A problem that only HTTP has, such as a method or a media type that does not fit.
    pub fn of_http(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { status, error: ProtocolError::new(code, detail) }
    }

    /// What programs look at.
    pub fn code(&self) -> &'static str {
        name(self.error.code)
    }

    /// There is nothing at this path.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::of_http(StatusCode::NOT_FOUND, ErrorCode::NotFound, detail)
    }

    /// Another method is meant.
    pub fn method_not_allowed() -> Self {
        let detail = "this path takes another method: the Allow header says which";
        Self::of_http(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Invalid, detail)
    }

    /// The server can't take this now.
    pub fn unavailable(detail: impl Into<String>, retry_after_ms: u32) -> Self {
        ProtocolError::retry(ErrorCode::Unavailable, detail, retry_after_ms).into()
    }
}

impl From<ProtocolError> for Problem {
    fn from(error: ProtocolError) -> Self {
        let status = StatusCode::from_u16(http_status(error.code)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, error }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, error: ProtocolError { code, message, retry_after_ms, .. } } = self;
        let document = Document {
            r#type: format!("{TYPE_PREFIX}{}", slug(code)),
            title: title(code),
            status: status.as_u16(),
            detail: &message,
            code: name(code),
            retry_after_ms,
        };
        let body = serde_json::to_vec(&document).expect("a struct of strings and numbers is JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if retry_after_ms > 0 {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_ms.div_ceil(1_000)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The codes that a client can get, in the order of their numbers.
pub const CODES: [ErrorCode; 15] = [
    ErrorCode::Invalid,
    ErrorCode::Unauthenticated,
    ErrorCode::Forbidden,
    ErrorCode::NotFound,
    ErrorCode::Conflict,
    ErrorCode::Limit,
    ErrorCode::RateLimited,
    ErrorCode::Unavailable,
    ErrorCode::GoBack,
    ErrorCode::RecipientUnavailable,
    ErrorCode::RegistrationClosed,
    ErrorCode::Internal,
    ErrorCode::BlockedByYou,
    ErrorCode::Full,
    ErrorCode::Suspended,
];

/// The code as JSON frames have it too.
pub const fn name(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Unspecified => "ERROR_CODE_UNSPECIFIED",
        ErrorCode::Invalid => "ERROR_CODE_INVALID",
        ErrorCode::Unauthenticated => "ERROR_CODE_UNAUTHENTICATED",
        ErrorCode::Forbidden => "ERROR_CODE_FORBIDDEN",
        ErrorCode::NotFound => "ERROR_CODE_NOT_FOUND",
        ErrorCode::Conflict => "ERROR_CODE_CONFLICT",
        ErrorCode::Limit => "ERROR_CODE_LIMIT",
        ErrorCode::RateLimited => "ERROR_CODE_RATE_LIMITED",
        ErrorCode::Unavailable => "ERROR_CODE_UNAVAILABLE",
        ErrorCode::GoBack => "ERROR_CODE_GO_BACK",
        ErrorCode::RecipientUnavailable => "ERROR_CODE_RECIPIENT_UNAVAILABLE",
        ErrorCode::RegistrationClosed => "ERROR_CODE_REGISTRATION_CLOSED",
        ErrorCode::Internal => "ERROR_CODE_INTERNAL",
        ErrorCode::BlockedByYou => "ERROR_CODE_BLOCKED_BY_YOU",
        ErrorCode::Full => "ERROR_CODE_FULL",
        ErrorCode::Suspended => "ERROR_CODE_SUSPENDED",
    }
}

/// The code as the end of a problem's type: `go-back`.
pub fn slug(code: ErrorCode) -> String {
    name(code).trim_start_matches("ERROR_CODE_").to_ascii_lowercase().replace('_', "-")
}

/// The same for every occurrence of a code, as RFC 9457 wants it.
const fn title(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Invalid => "The request is not valid",
        ErrorCode::Unauthenticated => "Log in first",
        ErrorCode::Forbidden => "You may not do this",
        ErrorCode::NotFound => "There is no such thing",
        ErrorCode::Conflict => "It is taken",
        ErrorCode::Limit => "A limit is reached",
        ErrorCode::RateLimited => "Too many requests",
        ErrorCode::Unavailable => "Not possible now",
        ErrorCode::GoBack => "An earlier message failed",
        ErrorCode::RecipientUnavailable => "The recipient can't be reached",
        ErrorCode::RegistrationClosed => "Registration is not open",
        ErrorCode::BlockedByYou => "You blocked the recipient",
        ErrorCode::Full => "No space is left",
        ErrorCode::Suspended => "The account is suspended",
        ErrorCode::Unspecified | ErrorCode::Internal => "Something is wrong with the server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are those of the JSON encoding, so that one table of codes serves both.
    #[test]
    fn codes_are_named_as_in_json_frames() {
        for code in CODES {
            let error = ProtocolError::new(code, "").to_wire();
            let json = serde_json::to_value(error).expect("JSON");
            assert_eq!(json["code"], name(code));
        }
    }

    /// Headers say what the document says.
    #[test]
    fn headers_follow_the_error() {
        let late = ProtocolError::retry(ErrorCode::RateLimited, "wait", 1_200);
        let response = Problem::from(late).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        let anonymous = ProtocolError::new(ErrorCode::Unauthenticated, "log in");
        assert_eq!(Problem::from(anonymous).into_response().headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}
