//! One immutable part of the index: a table with open addressing.

use crate::base::UnixTime;

/// A revocation without its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: u128,
    /// Ends tokens issued before this second; all, where it is the last of all seconds.
    pub(super) before: i64,
    /// From this second on it says nothing.
    pub(super) expires_at: i64,
}

impl Entry {
    const FREE: Self = Self { name: 0, before: i64::MIN, expires_at: i64::MIN };

    const fn is_free(&self) -> bool {
        self.expires_at == i64::MIN
    }

    /// The one that ends what either ends, for as long as either does.
    fn joined(self, other: Self) -> Self {
        Self {
            name: self.name,
            before: self.before.max(other.before),
            expires_at: self.expires_at.max(other.expires_at),
        }
    }
}

/// Entries by name. The length is a power of two or zero, and a quarter of the places at least is free, so that a
/// look-up ends after few steps. Names are as good as random, whoever chose the texts behind them.
#[derive(Debug, Default)]
pub(super) struct Shard {
    places: Box<[Entry]>,
    used: usize,
}

impl Shard {
    pub(super) fn len(&self) -> usize {
        self.used
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.places)
    }

    pub(super) fn find(&self, name: u128) -> Option<&Entry> {
        let entry = &self.places.get(self.place(name)?)?;
        (!entry.is_free()).then_some(entry)
    }

    /// A copy with these entries and without what has expired, and how many of them said something new; `None` if none
    /// did.
    pub(super) fn with(&self, entries: &[Entry], now: UnixTime) -> Option<(Self, usize)> {
        let is_news =
            |entry: &&Entry| self.find(entry.name).is_none_or(|known| known.joined(**entry) != *known);
        let news = entries.iter().filter(is_news).count();
        (news > 0).then(|| {
            let kept = self.entries().filter(|entry| now.0 < entry.expires_at);
            (Self::of(self.used + entries.len(), kept.chain(entries)), news)
        })
    }

    /// A copy without what has expired; `None` if nothing has.
    pub(super) fn without_expired(&self, now: UnixTime) -> Option<Self> {
        let living = || self.entries().filter(|entry| now.0 < entry.expires_at);
        let count = living().count();
        (count < self.used).then(|| Self::of(count, living()))
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.places.iter().filter(|entry| !entry.is_free())
    }

    fn of<'e>(most: usize, entries: impl Iterator<Item = &'e Entry>) -> Self {
        let length = if most == 0 { 0 } else { (most + most / 3 + 1).next_power_of_two() };
        let mut shard = Self { places: vec![Entry::FREE; length].into(), used: 0 };
        for entry in entries {
            let Some(place) = shard.place(entry.name) else { continue };
            let there = &mut shard.places[place];
            if there.is_free() {
                shard.used += 1;
                *there = *entry;
            } else {
                *there = there.joined(*entry);
            }
        }
        shard
    }

    /// Where an entry of this name stands, or would.
    fn place(&self, name: u128) -> Option<usize> {
        let mask = self.places.len().checked_sub(1)?;
        let mut place = name as usize & mask;
        while !self.places[place].is_free() && self.places[place].name != name {
            place = (place + 1) & mask;
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(name: u128, before: i64, expires_at: i64) -> Entry {
        Entry { name, before, expires_at }
    }

    proptest! {
        /// Names that differ in high bits only share their place, so the table is as crowded as can be.
        #[test]
        fn holds_what_a_map_would(batches in prop::collection::vec(
            prop::collection::vec((0..40_u128, 0..6_i64, 1..20_i64), 0..12), 0..12)
        ) {
            let mut shard = Shard::default();
            let mut map: BTreeMap<u128, Entry> = BTreeMap::new();
            for (now, batch) in (0_i64..).zip(&batches) {
                let entries: Vec<Entry> = batch
                    .iter()
                    .map(|&(name, before, lifetime)| entry((name << 64) | (name % 3), before, now + lifetime))
                    .collect();
                map.retain(|_, entry| entry.expires_at > now);
                let before = map.clone();
                for entry in &entries {
                    map.entry(entry.name).and_modify(|known| *known = known.joined(*entry)).or_insert(*entry);
                }
                match shard.with(&entries, UnixTime(now)) {
                    Some((next, news)) => {
                        prop_assert!(news > 0);
                        prop_assert_eq!(next.len(), map.len());
                        shard = next;
                    }
                    None => prop_assert_eq!(&before, &map),
                }
                for name in 0..40_u128 {
                    let name = (name << 64) | (name % 3);
                    let found = shard.find(name).filter(|entry| entry.expires_at > now);
                    prop_assert_eq!(found, map.get(&name));
                }
            }
        }
    }

    #[test]
    fn what_has_expired_leaves() {
        let (shard, _) = Shard::default().with(&[entry(1, 9, 5), entry(2, 9, 6)], UnixTime(0)).expect("news");
        assert!(shard.without_expired(UnixTime(4)).is_none());
        let shard = shard.without_expired(UnixTime(5)).expect("one has expired");
        assert_eq!((shard.len(), shard.find(1), shard.find(2)), (1, None, Some(&entry(2, 9, 6))));
        assert_eq!(shard.without_expired(UnixTime(6)).expect("the other has").memory(), size_of::<Shard>());
    }
}
