//! Where jobs wait for a thread.
//!
//! A channel of the standard library spins before it sleeps, and wakes with each message. Here whoever has nothing to
//! do sleeps at once, and a push wakes a thread only if one sleeps: under load hardly any does.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A bounded queue between any threads.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    most: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// Threads that sleep and that no push has woken. Too many when one woke by itself, which costs a call in vain; never
    /// too few.
    asleep: usize,
    closed: bool,
}

impl<T> Queue<T> {
    /// Holds so many at most.
    pub(super) fn new(most: usize) -> Self {
        let state = State { waiting: VecDeque::new(), asleep: 0, closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), most }
    }

    /// `false` if it is full, or closed.
    pub(super) fn push(&self, item: T) -> bool {
        let mut state = self.state();
        if state.closed || state.waiting.len() >= self.most {
            return false;
        }
        state.waiting.push_back(item);
        let wakes = state.asleep > 0;
        if wakes {
            state.asleep -= 1;
        }
        drop(state);
        if wakes {
            self.filled.notify_one();
        }
        true
    }

    /// Moves what waits to the end of `into`, the oldest first and so many at most; sleeps as long as nothing waits.
    /// `false` when it is closed and empty.
    pub(super) fn take(&self, into: &mut Vec<T>, most: usize) -> bool {
        let mut state = self.state();
        while state.waiting.is_empty() {
            if state.closed {
                return false;
            }
            state.asleep += 1;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let taken = most.min(state.waiting.len());
        into.extend(state.waiting.drain(..taken));
        true
    }

    /// Nothing comes in any more. What waits is still taken.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
    }

    /// Nothing panics while it holds the lock.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn refuses_more_than_it_may_hold() {
        let queue = Queue::new(2);
        assert_eq!([queue.push(1), queue.push(2), queue.push(3)], [true, true, false]);
        let mut taken = Vec::new();
        assert!(queue.take(&mut taken, 1));
        assert_eq!(taken, [1]);
        assert!(queue.push(4));
        assert!(queue.take(&mut taken, 10));
        assert_eq!(taken, [1, 2, 4]);
    }

    #[test]
    fn a_closed_queue_gives_out_what_it_has_and_then_ends() {
        let queue = Queue::new(2);
        assert!(queue.push(1));
        queue.close();
        assert!(!queue.push(2));
        let mut taken = Vec::new();
        assert!(queue.take(&mut taken, 10));
        assert!(!queue.take(&mut taken, 10));
        assert_eq!(taken, [1]);
    }

    #[test]
    fn what_many_push_is_taken_once_each_by_those_who_sleep() {
        const EACH: usize = 5_000;
        let queue = Arc::new(Queue::new(4 * EACH));
        let takers: Vec<_> = (0..3)
            .map(|most| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    let mut taken = Vec::new();
                    while queue.take(&mut taken, most + 1) {}
                    taken
                })
            })
            .collect();
        let pushers: Vec<_> = (0..4)
            .map(|number| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    for item in 0..EACH {
                        assert!(queue.push(number * EACH + item));
                        thread::yield_now();
                    }
                })
            })
            .collect();
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        queue.close();
        let mut taken: Vec<_> = takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect();
        taken.sort_unstable();
        assert_eq!(taken, (0..4 * EACH).collect::<Vec<_>>());
    }
}
