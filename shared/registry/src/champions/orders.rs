//! The cell of champions under orders of threads that shuttle draws: with its locks, every step of a lock is a point at
//! which another thread may go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::future::{block_on, spawn, yield_now};
use shuttle::sync::RwLock;

#[path = "cell.rs"]
#[allow(dead_code, clippy::duplicate_mod)]
mod cell;

use cell::{Cell, Turn};

/// Orders that are tried.
const ORDERS: usize = 5_000;
const READERS: u64 = 4;
const READS: u64 = 3;

/// A pair of models: both halves have one number, or it is mixed.
#[derive(Debug, Clone, Copy)]
struct Pair(u64, u64);

/// What readers and the store share.
#[derive(Debug, Default)]
struct World {
    cell: Cell<Pair>,
    /// The number of the present pair in the store.
    present: AtomicU64,
    /// Readers that load or renew.
    renewing: AtomicU64,
    renewals: AtomicU64,
}

/// Reads a pair from the store, in two calls, between which others go on.
async fn load(world: &World) -> Pair {
    assert_eq!(world.renewing.fetch_add(1, Ordering::SeqCst), 0, "two renew at once");
    let number = world.present.load(Ordering::SeqCst);
    yield_now().await;
    let pair = Pair(number, number);
    yield_now().await;
    world.renewing.fetch_sub(1, Ordering::SeqCst);
    world.renewals.fetch_add(1, Ordering::SeqCst);
    pair
}

async fn read(world: Arc<World>) {
    let mut last = 0;
    for _ in 0..READS {
        let present = world.present.load(Ordering::SeqCst);
        let pair = match world.cell.turn(|pair| pair.0 == present).await {
            Turn::Use(pair) => *pair,
            Turn::Renew(_, guard) => {
                let pair = load(&world).await;
                world.cell.set(pair);
                drop(guard);
                pair
            }
        };
        assert_eq!(pair.0, pair.1, "half of one pair and half of another");
        assert!(pair.0 >= last, "an older pair after a newer one");
        last = pair.0;
    }
}

#[test]
fn in_any_order_one_renews_and_nobody_reads_a_mixed_or_an_older_pair() {
    let orders = || {
        block_on(async {
            let world = Arc::new(World::default());
            let readers: Vec<_> = (0..READERS).map(|_| spawn(read(Arc::clone(&world)))).collect();
            for _ in 0..2 {
                yield_now().await;
                world.present.fetch_add(1, Ordering::SeqCst);
            }
            for reader in readers {
                reader.await.unwrap();
            }
            assert!(world.renewals.load(Ordering::SeqCst) <= READERS * READS);
        });
    };
    shuttle::check_random(orders, ORDERS);
    shuttle::check_pct(orders, ORDERS, 3);
}

#[test]
fn in_any_order_no_reader_waits_for_one_that_renews() {
    let orders = || {
        block_on(async {
            let world = Arc::new(World::default());
            world.cell.set(Pair(0, 0));
            // Somebody renews, and never ends.
            let Turn::Renew(_, guard) = world.cell.turn(|_| false).await else {
                panic!("nobody else renews")
            };
            let readers: Vec<_> = (0..READERS)
                .map(|_| {
                    let world = Arc::clone(&world);
                    spawn(async move {
                        for _ in 0..READS {
                            assert!(matches!(world.cell.turn(|_| false).await, Turn::Use(_)));
                        }
                    })
                })
                .collect();
            for reader in readers {
                reader.await.unwrap();
            }
            drop(guard);
        });
    };
    shuttle::check_random(orders, ORDERS);
}
