//! A value that many read and one at a time renews. No reader waits once there is a value.
//!
//! This file is compiled twice for tests: with the locks of `std`, and with those of shuttle, which tries orders of threads.

use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, MutexGuard};

use super::RwLock;

/// A value, none at first.
#[derive(Debug)]
pub(super) struct Cell<T> {
    /// Never locked across an await.
    value: RwLock<Option<Arc<T>>>,
    /// Held by the one that loads or renews the value.
    turn: Mutex<()>,
}

/// What a reader is to do.
#[derive(Debug)]
pub(super) enum Turn<'a, T> {
    /// To use this value: it is fresh, or somebody else is renewing it.
    Use(Arc<T>),
    /// To load the value, or to renew the one that there is, before the guard is dropped.
    Renew(Option<Arc<T>>, MutexGuard<'a, ()>),
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self { value: RwLock::new(None), turn: Mutex::new(()) }
    }
}

impl<T> Cell<T> {
    /// Returns the value, if there is one.
    pub(super) fn get(&self) -> Option<Arc<T>> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the value.
    pub(super) fn set(&self, value: T) {
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(value));
    }

    /// Says what a reader is to do. It waits only as long as there is no value and somebody else is loading it.
    pub(super) async fn turn(&self, is_fresh: impl Fn(&T) -> bool) -> Turn<'_, T> {
        let Some(value) = self.get() else {
            let guard = self.turn.lock().await;
            // Whoever had the turn before may have loaded it.
            return self.get().map_or_else(|| Turn::Renew(None, guard), Turn::Use);
        };
        let Ok(guard) = self.turn.try_lock() else { return Turn::Use(value) };
        // Another reader may have renewed it before this one had its turn.
        match self.get() {
            Some(value) if is_fresh(&value) => Turn::Use(value),
            value => Turn::Renew(value, guard),
        }
    }
}
