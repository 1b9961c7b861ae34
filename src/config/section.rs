//! The keys of a section: which are there, which are asked for, which are unknown.

use std::cell::RefCell;

use super::mistake::{MistakeKind, nearest};
use super::walk::{Node, shorten_plain};
use super::written::Entry;

/// The keys of one section, of which each reader asks for those that it knows.
pub(super) struct Section<'n, 'r> {
    node: &'n Node<'r>,
    entries: &'r [Entry],
    asked: RefCell<Vec<&'static str>>,
    later: RefCell<Vec<&'static str>>,
}

impl<'n, 'r> Section<'n, 'r> {
    /// Nothing is asked for yet.
    pub(super) fn new(node: &'n Node<'r>, entries: &'r [Entry]) -> Self {
        Self { node, entries, asked: RefCell::default(), later: RefCell::default() }
    }

    /// The section itself.
    pub(super) fn node(&self) -> &'n Node<'r> {
        self.node
    }

    /// The value of a key, if it is there.
    pub(super) fn key(&self, name: &'static str) -> Option<Node<'r>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&name) {
            asked.push(name);
        }
        self.entries.iter().find(|entry| entry.key == name).map(|entry| self.node.child(entry))
    }

    /// Reads the value of a key that may be absent.
    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Node<'r>) -> Option<T>,
    ) -> Option<T> {
        self.key(name).and_then(|node| read(&node))
    }

    /// Reads the value of a key that must be there.
    pub(super) fn required<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Node<'r>) -> Option<T>,
    ) -> Option<T> {
        match self.key(name) {
            Some(node) => read(&node),
            None => self.node.refuse_key(MistakeKind::Missing(name), None),
        }
    }

    /// Refuses keys whose part is not built. Tells whether any is there.
    pub(super) fn not_available(&self, names: &[&'static str]) -> bool {
        let mut any = false;
        for name in names {
            self.later.borrow_mut().push(name);
            if let Some(entry) = self.entries.iter().find(|entry| entry.key == *name) {
                any = true;
                self.node.child(entry).refuse_key::<()>(MistakeKind::NotAvailable, None);
            }
        }
        any
    }

    /// To be called when all is asked for: what nobody asked for is unknown.
    pub(super) fn refuse_unknown(&self) {
        let (asked, later) = (self.asked.borrow(), self.later.borrow());
        for entry in self.entries {
            let key = entry.key.as_str();
            if !asked.contains(&key) && !later.contains(&key) {
                let hint = nearest(key, &asked, "keys here");
                let kind = MistakeKind::UnknownKey(shorten_plain(key));
                self.node.child(entry).refuse_key::<()>(kind, Some(hint));
            }
        }
    }
}
