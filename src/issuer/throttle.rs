//! How often a login may fail before the next one has to wait: by address, by account and network, and by account.
//!
//! What is counted is a name, whether somebody has it or not, so that nobody learns which names are taken. A stranger
//! who hammers a name spends the allowance of their own networks: the owner's stays whole, and the ceiling over all
//! networks together does not hold for one that logged in with the name before.
//!
//! Everything is in memory, of a fixed size, and forgotten when the process ends. Tables hold keyed hashes: who does
//! not know the key of this process can aim at nobody's place. A full table forgets what failed longest ago.

mod name;

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use self::name::Folded;
use super::refused::Refused;
use crate::base::Rate;
use crate::config;

/// Addresses, or names, whose failures are remembered at once.
const COUNTED: u64 = 65_536;
/// Networks that are remembered to have logged in with a name.
const KNOWN: u64 = 131_072;
/// How long a network stays known after its last login.
const KNOWN_FOR: Duration = Duration::from_secs(90 * 86_400);

/// The limits of one issuer and what was counted. All threads share it; nothing waits here.
pub(super) struct Throttle {
    hasher: RandomState,
    addresses: Option<Failures>,
    accounts: Option<Failures>,
    ceilings: Option<Failures>,
    known: Cache<u64, ()>,
}

/// Which allowance is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// `throttle.per_address`.
    Address,
    /// `throttle.per_account`.
    Account,
    /// `throttle.account_ceiling`.
    Ceiling,
}

impl Limit {
    /// The key of the file, for the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "per_address",
            Self::Account => "per_account",
            Self::Ceiling => "account_ceiling",
        }
    }
}

/// A login that may go on, and must be told how it ended. Dropped without a word it counts as failed if it was counted
/// at its start.
#[must_use]
pub(super) struct Attempt<'t> {
    throttle: &'t Throttle,
    keys: [(Option<&'t Failures>, u64); 3],
    login: u64,
    /// Whether it is counted already: so that many at once can't all pass before the first has failed. A network that
    /// logged in with the name before is trusted not to do that; its honest logins may be many.
    counted: bool,
    at: Instant,
}

impl Throttle {
    pub(super) fn new(limits: &config::Throttle) -> Self {
        Self::of_size(limits, COUNTED)
    }

    /// `counted`: addresses, or names, whose failures are remembered at once.
    fn of_size(limits: &config::Throttle, counted: u64) -> Self {
        let failures = |rate| Failures::new(rate, counted);
        Self {
            hasher: RandomState::new(),
            addresses: limits.per_address.map(failures),
            accounts: limits.per_account.map(failures),
            ceilings: limits.account_ceiling.map(failures),
            known: Cache::builder()
                .max_capacity(KNOWN)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(KNOWN_FOR)
                .build(),
        }
    }

    /// Lets a login with this name from this address go on, unless too many have failed.
    ///
    /// # Errors
    /// [`Refused::Throttled`]. It counts for nothing: who waits as told gets in.
    pub(super) fn admit(&self, name: &str, client: IpAddr, now: Instant) -> Result<Attempt<'_>, Refused> {
        let client = client.to_canonical();
        let name = Folded::new(name);
        let network = network(client, 24, 56);
        let login = self.hash(&(&name, network));
        let is_known = self.known.contains_key(&login);
        let keys = [
            (Limit::Address, self.addresses.as_ref(), self.hash(&network_of_one_client(client))),
            (Limit::Account, self.accounts.as_ref(), login),
            (Limit::Ceiling, self.ceilings.as_ref().filter(|_| !is_known), self.hash(&name)),
        ];
        let attempt = Attempt {
            throttle: self,
            keys: keys.map(|(_, table, key)| (table, key)),
            login,
            counted: !is_known,
            at: now,
        };
        for (index, (limit, table, key)) in keys.into_iter().enumerate() {
            let Some(table) = table else { continue };
            let judged = if is_known { table.look(key, now) } else { table.count(key, now) };
            if let Err(wait) = judged {
                if attempt.counted {
                    attempt.take_back(index);
                }
                return Err(Refused::Throttled { limit, wait });
            }
        }
        Ok(attempt)
    }

    fn hash(&self, value: &(impl Hash + ?Sized)) -> u64 {
        self.hasher.hash_one(value)
    }
}

impl fmt::Debug for Throttle {
    /// Not what was counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

impl Attempt<'_> {
    /// The password was right: nothing failed, and the network is known from now on.
    pub(super) fn succeeded(self) {
        self.throttle.known.insert(self.login, ());
        self.could_not_be_judged();
    }

    /// Nobody can say whether the password is right.
    pub(super) fn could_not_be_judged(self) {
        if self.counted {
            self.take_back(self.keys.len());
        }
    }

    /// The password was wrong, or there is no such user.
    pub(super) fn failed(self) {
        if !self.counted {
            for (table, key) in self.keys {
                // Too late to refuse this one; those that come now are.
                let _ = table.map(|table| table.count(key, self.at));
            }
        }
    }

    /// Undoes what the first tables counted.
    fn take_back(&self, tables: usize) {
        for (table, key) in &self.keys[..tables] {
            if let Some(table) = table {
                table.take_back(*key);
            }
        }
    }
}

/// Counts by the generic cell rate algorithm: for each key the time at which its whole allowance is there again.
struct Failures {
    interval: u64,
    per: u64,
    start: Instant,
    /// Nanoseconds after `start`.
    whole_at: Cache<u64, Arc<AtomicU64>>,
}

impl Failures {
    fn new(rate: Rate, counted: u64) -> Self {
        let whole_at = Cache::builder()
            .max_capacity(counted)
            .eviction_policy(EvictionPolicy::lru())
            // After that long without a failure the allowance is whole, as that of a new key is.
            .time_to_idle(rate.per());
        Self {
            interval: nanoseconds(rate.interval()),
            per: nanoseconds(rate.per()),
            start: Instant::now(),
            whole_at: whole_at.build(),
        }
    }

    /// Spends one of the key's allowance, or says how long it takes until there is one.
    fn count(&self, key: u64, now: Instant) -> Result<(), Duration> {
        let now = nanoseconds(now.saturating_duration_since(self.start));
        let place = self.whole_at.get_with(key, || Arc::new(AtomicU64::new(0)));
        let spend = |whole_at| self.spent(whole_at, now).ok();
        match place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend) {
            Ok(_) => Ok(()),
            Err(whole_at) => self.spent(whole_at, now).map(drop),
        }
    }

    /// Whether there is one to spend.
    fn look(&self, key: u64, now: Instant) -> Result<(), Duration> {
        let now = nanoseconds(now.saturating_duration_since(self.start));
        let whole_at = self.whole_at.get(&key).map_or(0, |place| place.load(Ordering::Relaxed));
        self.spent(whole_at, now).map(drop)
    }

    fn take_back(&self, key: u64) {
        if let Some(place) = self.whole_at.get(&key) {
            let earlier = |whole_at: u64| Some(whole_at.saturating_sub(self.interval));
            // The closure never declines.
            let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier);
        }
    }

    fn spent(&self, whole_at: u64, now: u64) -> Result<u64, Duration> {
        let later = whole_at.max(now).saturating_add(self.interval);
        match later.saturating_sub(now).checked_sub(self.per) {
            None | Some(0) => Ok(later),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }
}

/// Good for 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Whoever gets an IPv6 address gets a /64.
fn network_of_one_client(client: IpAddr) -> IpAddr {
    network(client, 32, 64)
}

/// The first address of the network of this many bits.
fn network(client: IpAddr, v4: u32, v6: u32) -> IpAddr {
    match client {
        IpAddr::V4(address) => {
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - v4).unwrap_or(0)))
        }
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128 - v6).unwrap_or(0)))
        }
    }
}

#[cfg(test)]
mod tests;
