//! How often a login may fail before the next one has to wait: by address, by account and network, and by account.
//!
//! What is counted is a name, whether somebody has it or not, so that nobody learns which names are taken. A stranger
//! who hammers a name spends the allowance of their own networks: the owner's stays whole, and the ceiling over all
//! networks together does not hold for one that logged in with the name before.
//!
//! A name is counted as [`name`] folds it. Where the place of users takes still more for the same name, an attempt counts
//! for the name that it found too.
//!
//! What is counted is in memory, of a fixed size, and forgotten when the process ends; which networks logged in is in
//! the store too ([`networks`]). Tables hold keyed hashes: who does not know the key of this process can aim at nobody's
//! place. A full table forgets what failed longest ago.

mod failures;
mod name;
mod networks;

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::future::BoxFuture;

use self::failures::Failures;
use self::name::Folded;
use self::networks::{Login, Networks};
use super::refused::Refused;
use crate::base::UnixTime;
use crate::config;
use crate::store::{Admission, LoginNetworks};

/// Addresses, or names, whose failures are remembered at once.
const COUNTED: u64 = 65_536;

/// The limits of one issuer and what was counted. All threads share it; nothing waits here but for the store, in
/// [`Networks`].
pub(super) struct Throttle {
    hasher: RandomState,
    addresses: Option<Failures>,
    accounts: Option<Failures>,
    ceilings: Option<Failures>,
    networks: Networks,
}

/// When a login came: for what is counted here, and for what the store keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) time: UnixTime,
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
    at: Moment,
    /// The presented name as it is counted.
    folded: Folded,
    presented: Share<'t>,
    /// Under the name of the user who was found, if that folds to another; or why that user's login has to wait.
    found: OnceLock<Result<Share<'t>, Refused>>,
}

/// What an attempt counts for under one name.
struct Share<'t> {
    login: Login,
    tables: [(Limit, Option<&'t Failures>, u64); 3],
    /// Whether it is counted already: so that many at once can't all pass before the first has failed. A network that
    /// logged in with the name before is trusted not to do that; its honest logins may be many.
    counted: bool,
}

impl Throttle {
    /// `store` keeps which networks are known.
    pub(super) fn new(limits: &config::Throttle, store: Arc<dyn LoginNetworks>) -> Self {
        let asks = limits.account_ceiling.is_some();
        Self::of_size(limits, COUNTED, Networks::new(Some(store).filter(|_| asks)))
    }

    /// `counted`: addresses, or names, whose failures are remembered at once.
    fn of_size(limits: &config::Throttle, counted: u64, networks: Networks) -> Self {
        let failures = |rate| Failures::new(rate, counted);
        Self {
            hasher: RandomState::new(),
            addresses: limits.per_address.map(failures),
            accounts: limits.per_account.map(failures),
            ceilings: limits.account_ceiling.map(failures),
            networks,
        }
    }

    /// Lets a login with this name from this address go on, unless too many have failed.
    ///
    /// # Errors
    /// [`Refused::Throttled`]. It counts for nothing: who waits as told gets in.
    pub(super) async fn admit(&self, name: &str, client: IpAddr, at: Moment) -> Result<Attempt<'_>, Refused> {
        let client = client.to_canonical();
        let address = self.addresses.as_ref().map(|table| (table, self.hash(&network_of_one_client(client))));
        let (folded, network) = (Folded::new(name), network(client, 24, 56));
        let presented = self.share(name, &folded, network, address, at).await?;
        Ok(Attempt { throttle: self, at, folded, presented, found: OnceLock::new() })
    }

    /// Spends, or looks at, the allowances of a name and of an address.
    async fn share<'t>(
        &'t self,
        name: &str,
        folded: &Folded,
        network: IpAddr,
        address: Option<(&'t Failures, u64)>,
        at: Moment,
    ) -> Result<Share<'t>, Refused> {
        let tables = [
            (Limit::Address, address.map(|(table, _)| table), address.map_or(0, |(_, key)| key)),
            (Limit::Account, self.accounts.as_ref(), self.hash(&(folded, network))),
            (Limit::Ceiling, self.ceilings.as_ref(), self.hash(folded)),
        ];
        let login = Login { key: self.hash(&(name, network)), name: name.into(), network };
        let is_known = self.networks.remembers(&login);
        let mut share = Share { login, tables, counted: !is_known };
        if is_known {
            share.tables[2].1 = None;
        }
        match share.open(at.instant) {
            Ok(()) => Ok(share),
            // Here alone it matters who logged in at another replica or before a restart.
            Err(Refused::Throttled { limit: Limit::Ceiling, .. })
                if self.networks.recalls(&share.login, at).await =>
            {
                share.counted = false;
                share.tables[2].1 = None;
                share.open(at.instant).map(|()| share)
            }
            Err(refused) => Err(refused),
        }
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

impl Share<'_> {
    /// All allowances or none.
    fn open(&self, now: Instant) -> Result<(), Refused> {
        for (index, &(limit, table, key)) in self.tables.iter().enumerate() {
            let Some(table) = table else { continue };
            let judged = if self.counted { table.count(key, now) } else { table.look(key, now) };
            if let Err(wait) = judged {
                if self.counted {
                    self.take_back(index);
                }
                return Err(Refused::Throttled { limit, wait });
            }
        }
        Ok(())
    }

    fn failed(&self, now: Instant) {
        if !self.counted {
            for &(_, table, key) in &self.tables {
                // Too late to refuse this one; those that come now are.
                let _ = table.map(|table| table.count(key, now));
            }
        }
    }

    fn did_not_fail(&self) {
        if self.counted {
            self.take_back(self.tables.len());
        }
    }

    /// Undoes what the first tables counted.
    fn take_back(&self, tables: usize) {
        for &(_, table, key) in &self.tables[..tables] {
            if let Some(table) = table {
                table.take_back(key);
            }
        }
    }
}

impl Attempt<'_> {
    /// The password was right: nothing failed, and the network is known from now on.
    pub(super) async fn succeeded(self) {
        self.shares().for_each(Share::did_not_fail);
        for share in self.shares() {
            self.throttle.networks.note(&share.login, self.at).await;
        }
    }

    /// Nobody can say whether the password is right.
    pub(super) fn could_not_be_judged(self) {
        self.shares().for_each(Share::did_not_fail);
    }

    /// The password was wrong, or there is no such user.
    pub(super) fn failed(self) {
        self.shares().for_each(|share| share.failed(self.at.instant));
    }

    /// The attempt said no itself when it was asked about the user who was found. It counts for nothing.
    pub(super) fn turned_away(self) -> Refused {
        self.shares().for_each(Share::did_not_fail);
        match self.found.into_inner() {
            Some(Err(refused)) => refused,
            Some(Ok(_)) | None => Refused::Credentials,
        }
    }

    fn shares(&self) -> impl Iterator<Item = &Share<'_>> {
        let found = self.found.get().and_then(|found| found.as_ref().ok());
        std::iter::once(&self.presented).chain(found)
    }
}

impl Admission for Attempt<'_> {
    fn admits<'a>(&'a self, username: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let folded = Folded::new(username);
            if folded == self.folded {
                return true;
            }
            let network = self.presented.login.network;
            let found = self.throttle.share(username, &folded, network, None, self.at).await;
            let is_admitted = found.is_ok();
            // A place of users asks once.
            self.found.set(found).is_ok() && is_admitted
        })
    }
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
