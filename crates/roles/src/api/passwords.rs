//! Password hashes: argon2id (RFC 9106), computed away from the threads that serve sockets, few at once.

use super::errors;
use crate::services::Services;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version, password_hash};
use hudhud_ports::{ErrorKind, Runtime};
use hudhud_proto::ProtocolError;
use hudhud_proto::v1::ErrorCode;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Hashes computed at once: each takes tens of milliseconds of a core and tens of MiB.
const HASHES_AT_ONCE_MAX: usize = 2;
/// Hashes that wait for their turn. The last of them waits for about a second.
const HASHES_WAITING_MAX: usize = 64;
/// How long who found the waiting list full stays away, in milliseconds: by then it is done.
const HASHES_RETRY_MS: u32 = 2_000;

/// Makes and checks password hashes.
pub(super) struct Passwords {
    runtime: Runtime,
    argon2: Argon2<'static>,
    /// What an unknown handle's password is compared with: costs the same as a hash made today, and matches nothing.
    decoy: PasswordHash,
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Passwords {
    /// Hashes at the cost that the settings name, or the least that argon2id allows.
    pub(super) fn new(services: &Services) -> Self {
        let runtime = services.runtime.clone();
        let cost = services.settings.password;
        let (memory_kib, passes) = (cost.memory_kib.max(Params::MIN_M_COST), cost.passes.max(Params::MIN_T_COST));
        let params = Params::new(memory_kib, passes, Params::DEFAULT_P_COST, None).expect("no less than the least");
        let decoy = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::default().into()),
            params: ParamsString::try_from(&params).expect("numbers fit"),
            salt: Some(Salt::new(&runtime.random::<16>()).expect("16 bytes are the length that is recommended")),
            hash: Some(Output::new(&runtime.random::<32>()).expect("32 bytes are the length that is usual")),
        };
        Self {
            runtime,
            argon2: Argon2::new(Algorithm::Argon2id, Version::default(), params),
            decoy,
            admitted: Arc::new(Semaphore::new(HASHES_AT_ONCE_MAX + HASHES_WAITING_MAX)),
            running: Arc::new(Semaphore::new(HASHES_AT_ONCE_MAX)),
        }
    }

    /// A password's hash, as a PHC string. `RateLimited` when too many wait already.
    pub(super) async fn hash(&self, password: String) -> Result<String, ProtocolError> {
        let argon2 = self.argon2.clone();
        let salt = self.runtime.random::<16>();
        let hash = self.compute(move || argon2.hash_password_with_salt(password.as_bytes(), &salt)).await?;
        hash.map(|hash| hash.to_string()).map_err(broken)
    }

    /// Whether a hash has the cost of one that is made today.
    pub(super) fn is_current(&self, stored: &str) -> bool {
        let cost = |hash: &PasswordHash| (hash.algorithm, hash.version, hash.params.clone());
        PasswordHash::new(stored).is_ok_and(|stored| cost(&stored) == cost(&self.decoy))
    }

    /// Whether a password is the one of this PHC string; never without one, but that takes as long. `RateLimited` when too
    /// many wait already.
    ///
    /// A hash costs what it cost when it was made. After the settings changed, what is unknown costs as much as a hash that
    /// was made since: until an account's next log-in, the time that a wrong password takes tells that it is there.
    pub(super) async fn verify(&self, password: String, stored: Option<&str>) -> Result<bool, ProtocolError> {
        let stored = match stored {
            Some(phc) => PasswordHash::new(phc).map_err(|error| broken(error.into()))?,
            None => self.decoy.clone(),
        };
        let argon2 = self.argon2.clone();
        match self.compute(move || argon2.verify_password(password.as_bytes(), &stored)).await? {
            Ok(()) => Ok(true),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(broken(error)),
        }
    }

    /// Computes when it is this one's turn. The permits go with the work and not with the caller: who hangs up while it
    /// runs does not make room for another one.
    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ProtocolError> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| busy())?;
        let running = self.running.clone().acquire_owned().await.expect("nobody closes it");
        let permits: [OwnedSemaphorePermit; 2] = [running, admitted];
        let (result, mut computed) = oneshot::channel();
        let work = move || {
            let output = work();
            drop(permits);
            // Nobody waits for it any more: then it is not needed.
            let _ = result.send(output);
        };
        self.runtime.tasks.compute(Box::new(work)).await;
        computed.try_recv().map_err(|_| broken(password_hash::Error::Internal))
    }
}

fn busy() -> ProtocolError {
    let message = "too many people log in at this moment, try again";
    ProtocolError::retry(ErrorCode::RateLimited, message, HASHES_RETRY_MS)
}

fn broken(error: password_hash::Error) -> ProtocolError {
    errors::from_port(hudhud_ports::Error::new(ErrorKind::Corrupt, "argon2", "hash").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Api, accounts, rows, testing};
    use crate::presence::Presence;
    use crate::settings::{PasswordCost, Settings};
    use crate::tables;
    use hudhud_ports::Spawn;
    use hudhud_ports::memory;
    use hudhud_proto::v1::{ChangePassword, LogIn, LoggedIn, PasswordRow};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_hash_matches_its_password_alone() {
        let passwords = Passwords::new(&testing::services());
        let hash = passwords.hash("correct horse".into()).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse".into()).await.expect("hashed"), "each has its own salt");
        assert_eq!(passwords.verify("correct horse".into(), Some(&hash)).await, Ok(true));
        assert_eq!(passwords.verify("correct hors".into(), Some(&hash)).await, Ok(false));
        assert_eq!(passwords.verify("correct horse".into(), None).await, Ok(false));
        let error = passwords.verify("correct horse".into(), Some("$argon2id$nonsense")).await.expect_err("corrupt");
        assert_eq!(error.code, ErrorCode::Internal);
    }

    #[tokio::test]
    async fn the_decoy_costs_what_a_hash_costs() {
        let passwords = Passwords::new(&testing::services());
        let hash = PasswordHash::new(&passwords.hash("correct horse".into()).await.expect("hashed")).expect("PHC");
        let cost = |hash: &PasswordHash| (hash.algorithm.to_string(), hash.version, hash.params.to_string());
        assert_eq!(cost(&hash), cost(&passwords.decoy));
        assert!(passwords.is_current(&hash.to_string()));
        assert!(!passwords.is_current("$argon2id$v=19$m=16,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"));
        let lengths = |hash: &PasswordHash| (hash.salt.map(|s| s.len()), hash.hash.map(|h| h.len()));
        assert_eq!(lengths(&hash), lengths(&passwords.decoy));
    }

    /// The api of a server that was started again with another cost of passwords.
    fn restarted(fixture: &testing::Fixture, cost: PasswordCost) -> Api {
        let mut services = fixture.services.clone();
        services.settings = Arc::new(Settings { password: cost, ..(*services.settings).clone() });
        let presence = Arc::new(Presence::new(&services, fixture.sessions.clone()));
        Api::new(services, fixture.sessions.clone(), presence)
    }

    async fn log_in(api: &Api, password: &str) -> Result<LoggedIn, ProtocolError> {
        let log_in = LogIn { handle: "alice".into(), password: password.into(), ..Default::default() };
        accounts::log_in(api, testing::ADDRESS, log_in).await
    }

    async fn stored(fixture: &testing::Fixture) -> String {
        let (account, _) = accounts::find(&fixture.api, &"alice".parse().expect("a handle")).await.expect("read");
        let row: Option<PasswordRow> = rows::get(&fixture.api, tables::password(account)).await.expect("read");
        row.expect("alice has one").hash
    }

    const DEARER: PasswordCost = PasswordCost { memory_kib: 16, passes: 2 };

    #[tokio::test]
    async fn a_new_cost_takes_hold_at_the_next_log_in() {
        let fixture = testing::Fixture::new().await;
        fixture.account("alice").await;
        let api = restarted(&fixture, DEARER);
        let (wrong, work) = fixture.cost(log_in(&api, "wrong horse")).await;
        assert_eq!((wrong.map_err(|error| error.code), work.hashes), (Err(ErrorCode::Unauthenticated), 1));
        assert!(stored(&fixture).await.starts_with("$argon2id$v=19$m=8,t=1,"));
        let (right, work) = fixture.cost(log_in(&api, testing::PASSWORD)).await;
        assert_eq!((right.is_ok(), work.hashes), (true, 2));
        assert!(stored(&fixture).await.starts_with("$argon2id$v=19$m=16,t=2,"));
        let (right, work) = fixture.cost(log_in(&api, testing::PASSWORD)).await;
        assert_eq!((right.is_ok(), work.hashes), (true, 1), "once is enough, and it is the same password");
        assert_eq!(fixture.store.unsynced(), 0, "it survives the loss of power");
    }

    #[tokio::test]
    async fn a_new_cost_brings_no_old_password_back_and_keeps_nobody_out() {
        for head_start in 0..60 {
            let fixture = testing::Fixture::new().await;
            let alice = fixture.account("alice").await;
            let api = restarted(&fixture, DEARER);
            let late = async {
                for _ in 0..head_start {
                    tokio::task::yield_now().await;
                }
                let (old_password, new_password) = (testing::PASSWORD.into(), "battery staple".into());
                accounts::change_password(&api, &alice, ChangePassword { old_password, new_password }).await
            };
            let (changed, ..) = tokio::join!(late, log_in(&api, testing::PASSWORD));
            changed.expect("changed");
            assert!(log_in(&api, testing::PASSWORD).await.is_err(), "head start {head_start}");
            let (one, other) = tokio::join!(log_in(&api, "battery staple"), log_in(&api, "battery staple"));
            assert!(one.is_ok() && other.is_ok(), "head start {head_start}");
        }
        let fixture = testing::Fixture::new().await;
        fixture.account("alice").await;
        let api = restarted(&fixture, DEARER);
        let (one, other) = tokio::join!(log_in(&api, testing::PASSWORD), log_in(&api, testing::PASSWORD));
        assert!(one.is_ok() && other.is_ok(), "two log-ins that both hash anew: {one:?} {other:?}");
    }

    /// Computes nothing until it is told to, and counts what has begun.
    struct Gate {
        begun: AtomicUsize,
        open: Semaphore,
    }

    #[async_trait::async_trait]
    impl Spawn for Gate {
        fn spawn(&self, future: futures_util::future::BoxFuture<'static, ()>) {
            tokio::spawn(future);
        }

        async fn compute(&self, work: Box<dyn FnOnce() + Send>) {
            self.begun.fetch_add(1, Ordering::SeqCst);
            self.open.acquire().await.expect("open").forget();
            work();
        }
    }

    #[tokio::test]
    async fn two_are_computed_at_once_and_the_waiting_list_ends() {
        let gate = Arc::new(Gate { begun: AtomicUsize::new(0), open: Semaphore::new(0) });
        let mut services = testing::services();
        let (runtime, _clock) = memory::runtime(0, 7);
        services.runtime = Runtime { tasks: gate.clone(), ..runtime };
        let passwords = Arc::new(Passwords::new(&services));
        let waiting: Vec<_> = (0..HASHES_AT_ONCE_MAX + HASHES_WAITING_MAX)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.verify("whatever it is".into(), None).await })
            })
            .collect();
        // The test's own task comes round before all of the others had their first turn.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let error = passwords.verify("one too many".into(), None).await.expect_err("the list is full");
        assert_eq!((error.code, error.retry_after_ms), (ErrorCode::RateLimited, HASHES_RETRY_MS));
        assert_eq!(gate.begun.load(Ordering::SeqCst), HASHES_AT_ONCE_MAX);
        gate.open.add_permits(1_000);
        for task in waiting {
            assert_eq!(task.await.expect("no panic"), Ok(false));
        }
        assert_eq!(passwords.verify("room again".into(), None).await, Ok(false));
    }
}
