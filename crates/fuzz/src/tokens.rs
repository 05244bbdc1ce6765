//! What says who somebody is: access tokens, JSON Web Tokens, handles.

use crate::world::{self, World};
use hudhud_proto::v1::{self, ErrorCode, client_frame::Command, server_frame::Event};
use hudhud_proto::{AccountId, Handle};
use hudhud_roles::api::Who;

/// Whoever gets in with a JWT is the subject that its backend signed, and nobody gets in with anything else but a token
/// that was given out.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(handle) = text.parse::<Handle>() {
        let again: Handle = handle.as_str().parse().expect("a handle is one");
        assert_eq!(again.as_str(), handle.as_str());
    }
    world::run(async {
        let World { api, token, .. } = World::new().await;
        match api.authenticate(text, world::ADDRESS).await {
            Ok(_) => assert_eq!(text, token),
            Err(error) => assert_eq!(error.code, ErrorCode::Unauthenticated),
        }
        let log_in = v1::LogInJwt { jwt: text.into(), ..Default::default() };
        match api.handle(&Who::Anonymous(world::ADDRESS), Command::LogInJwt(log_in)).await {
            Ok(Event::LoggedIn(logged_in)) => {
                let customer = AccountId::of_subject(world::ISSUER, "customer-7");
                assert_eq!(logged_in.account, customer.as_bytes()[..]);
            }
            Ok(other) => panic!("a log-in is answered by {other:?}"),
            Err(error) => assert_eq!(error.code, ErrorCode::Unauthenticated, "{error}"),
        }
    });
}
