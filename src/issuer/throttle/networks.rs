//! Which networks logged in with a name before: known to this process, and in the store to all replicas and after a
//! restart.
//!
//! The store is told at a login of which this process told it nothing lately, and asked only where the answer decides
//! whether a login is turned away. While it does not answer, a network that this process does not know is unknown.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::{hmac, rand};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Moment;
use crate::base::Secret;
use crate::store::{LoginNetworks, NetworkDigest};

/// Networks that are remembered to have logged in with a name.
const REMEMBERED: u64 = 131_072;
/// Answers of the store that are remembered at once.
const ASKED: u64 = 65_536;
/// How long a network stays known after its last login.
const KNOWN_FOR: Duration = Duration::from_secs(90 * 86_400);
/// How long one login with a name from a network stands for those after it.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(86_400);
/// For so long an answer of the store stands. Who is turned away waits longer as a rule, and who does not wait must not
/// make the store work.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// The longest wait for the store: a login has to wait for it elsewhere too.
const LIMIT: Duration = Duration::from_secs(1);
const KEY_LENGTH: usize = 32;

/// What the process knows, and the way to what it does not. Of a fixed size.
pub(super) struct Networks {
    /// `None` where no limit asks who is known.
    store: Option<Arc<dyn LoginNetworks>>,
    /// Asked for at first use, since the store may not answer at start.
    key: OnceCell<hmac::Key>,
    /// When this process told the store, by [`Login::key`]. `None`: it was told by the store.
    remembered: Cache<u64, Option<Instant>>,
    /// What the store said, or is about to say to all who wait.
    asked: Cache<u64, Arc<OnceCell<bool>>>,
}

/// A name and the network that logs in with it. The name is as it was written: who logs in to one account is no more known
/// to another whose name is only like it.
#[derive(Debug)]
pub(super) struct Login {
    /// Stands for both in the tables of this process.
    pub(super) key: u64,
    pub(super) name: Box<str>,
    pub(super) network: IpAddr,
}

impl Networks {
    pub(super) fn new(store: Option<Arc<dyn LoginNetworks>>) -> Self {
        Self::of_size(store, REMEMBERED, ASKED)
    }

    pub(super) fn of_size(store: Option<Arc<dyn LoginNetworks>>, remembered: u64, asked: u64) -> Self {
        Self {
            store,
            key: OnceCell::new(),
            remembered: Cache::builder()
                .max_capacity(remembered)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(KNOWN_FOR)
                .build(),
            asked: Cache::builder().max_capacity(asked).time_to_live(ASKED_AGAIN_AFTER).build(),
        }
    }

    /// Whether this process knows of a login.
    pub(super) fn remembers(&self, login: &Login) -> bool {
        self.remembered.contains_key(&login.key)
    }

    /// Whether the store knows of a login, which then this process knows too. All who ask at once wait for one answer.
    pub(super) async fn recalls(&self, login: &Login, now: Moment) -> bool {
        let Some(store) = &self.store else { return false };
        let asked = self.asked.get_with(login.key, Arc::default);
        let ask = async || {
            let answer = timeout(LIMIT, async {
                let digest = self.digest(&**store, login).await?;
                store.knows_network(&digest, now.time).await.ok()
            });
            answer.await.ok().flatten().unwrap_or(false)
        };
        let is_known = *asked.get_or_init(ask).await;
        if is_known {
            self.remembered.get_with(login.key, || None);
        }
        is_known
    }

    /// Makes a login known.
    pub(super) async fn note(&self, login: &Login, now: Moment) {
        let told = self.remembered.get(&login.key).flatten();
        if told.is_some_and(|told| now.instant.saturating_duration_since(told) < TOLD_AGAIN_AFTER) {
            return;
        }
        let Some(store) = &self.store else { return self.remembered.insert(login.key, None) };
        // Before the store has it: of many logins at once one tells it.
        self.remembered.insert(login.key, Some(now.instant));
        let noted = timeout(LIMIT, async {
            let digest = self.digest(&**store, login).await?;
            store.note_network(&digest, now.time.plus(KNOWN_FOR)).await.ok()
        });
        if noted.await.ok().flatten().is_none() {
            self.remembered.insert(login.key, None);
        }
    }

    /// How many entries the tables have.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [u64; 2] {
        self.remembered.run_pending_tasks();
        self.asked.run_pending_tasks();
        [self.remembered.entry_count(), self.asked.entry_count()]
    }

    async fn digest(&self, store: &dyn LoginNetworks, login: &Login) -> Option<NetworkDigest> {
        let key = self.key.get_or_try_init(|| async {
            let mut proposed = Zeroizing::new([0; KEY_LENGTH]);
            rand::fill(&mut *proposed).map_err(drop)?;
            let key = store.network_key(Secret::new(&proposed[..])).await.map_err(drop)?;
            Ok::<_, ()>(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
        });
        let mut context = hmac::Context::with_key(key.await.ok()?);
        // The first byte says where the name begins.
        match login.network {
            IpAddr::V4(address) => {
                context.update(&[4]);
                context.update(&address.octets());
            }
            IpAddr::V6(address) => {
                context.update(&[16]);
                context.update(&address.octets());
            }
        }
        context.update(login.name.as_bytes());
        context.sign().as_ref().try_into().ok()
    }
}
