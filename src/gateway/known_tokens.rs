//! A worker's own table of the tokens that it saw last.
//!
//! Each token has four places, two pairs of neighbours, found by a keyed hash of its text. With so many to choose from
//! nearly all of ten thousand tokens in turn find one that no other wants; where all are taken, one token gives way. Where
//! the tokens are too heavy together, a hand that goes round takes some out: those that came longest ago, about.

use std::rc::Rc;

use super::token_cache::KnownToken;

/// Places: 16 bytes each.
const PLACES: usize = 32 * 1024;
const PLACE_BITS: u32 = PLACES.trailing_zeros();

/// Tokens by the hash of their text.
#[derive(Debug, Default)]
pub(super) struct KnownTokens {
    /// Empty until the first token.
    places: Vec<Option<Place>>,
    /// About how many bytes the tokens hold together, and may hold.
    weight: usize,
    most: usize,
    /// Which of four gives way next.
    turn: usize,
    /// The place at which the next search for weight begins.
    hand: usize,
}

#[derive(Debug)]
struct Place {
    /// Keyed, of the end of the text, so that another token is told apart without a look at it.
    hash: u64,
    token: Rc<KnownToken>,
}

impl KnownTokens {
    /// Holds tokens of about so many bytes together.
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// A token by its whole text.
    pub(super) fn find(&self, hash: u64, text: &[u8]) -> Option<&Rc<KnownToken>> {
        let mut places = places(hash).into_iter().filter_map(|place| self.places.get(place)?.as_ref());
        let found = places.find(|place| place.hash == hash && *place.token.token.text == *text)?;
        Some(&found.token)
    }

    /// Puts a token in, perhaps in the place of others. One that would be too much alone is not kept.
    pub(super) fn keep(&mut self, hash: u64, token: &Rc<KnownToken>) {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let weight = token.token.weight();
        if weight > self.most {
            return;
        }
        let place = self.place_for(hash);
        self.clear(place);
        while self.weight + weight > self.most {
            self.clear(self.hand);
            self.hand = (self.hand + 1) % PLACES;
        }
        self.weight += weight;
        self.places[place] = Some(Place { hash, token: Rc::clone(token) });
    }

    fn clear(&mut self, place: usize) {
        if let Some(old) = self.places[place].take() {
            self.weight -= old.token.token.weight();
        }
    }

    /// About how many bytes its tokens hold.
    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Its own place if it has one, else a free one, else another's.
    fn place_for(&mut self, hash: u64) -> usize {
        let candidates = places(hash);
        let hash_at = |place: &usize| self.places[*place].as_ref().map(|token| token.hash);
        let own = candidates.into_iter().find(|place| hash_at(place) == Some(hash));
        own.or_else(|| candidates.into_iter().find(|place| hash_at(place).is_none())).unwrap_or_else(|| {
            self.turn = (self.turn + 1) % candidates.len();
            candidates[self.turn]
        })
    }
}

/// The places of a hash: two pairs, by different bits of it.
#[expect(clippy::cast_possible_truncation, reason = "the few bits that stay are what is wanted")]
fn places(hash: u64) -> [usize; 4] {
    let [one, other] = [hash as usize % PLACES, (hash >> PLACE_BITS) as usize % PLACES];
    [one, one ^ 1, other, other ^ 1]
}
