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

/// What readers and the store share.
#[derive(Debug, Default)]
struct World {
    cell: Cell<u64>,
    /// The number of the present value in the store.
    present: AtomicU64,
    /// Readers that load or renew.
    renewing: AtomicU64,
    renewals: AtomicU64,
}

/// Reads the number of the present value from the store, which takes a while.
async fn load(world: &World) -> u64 {
    assert_eq!(world.renewing.fetch_add(1, Ordering::SeqCst), 0, "two renew at once");
    let number = world.present.load(Ordering::SeqCst);
    yield_now().await;
    world.renewing.fetch_sub(1, Ordering::SeqCst);
    world.renewals.fetch_add(1, Ordering::SeqCst);
    number
}

/// Reads several times, as [`super::Models::bundle`] does.
async fn read(world: Arc<World>, is_fresh: impl Fn(u64, u64) -> bool) {
    let mut last = 0;
    for _ in 0..READS {
        let present = world.present.load(Ordering::SeqCst);
        let number = match world.cell.turn(|number| is_fresh(*number, present)).await {
            Turn::Use(number) => *number,
            Turn::Renew(_, guard) => {
                let number = load(&world).await;
                world.cell.set(number);
                drop(guard);
                number
            }
        };
        assert!(number >= last, "an older value after a newer one");
        last = number;
    }
}

/// Lets [`READERS`] read beside each other while the store has `newer` values more, and returns how often one of them loaded a value.
async fn renewals(newer: u64, is_fresh: fn(u64, u64) -> bool) -> u64 {
    let world = Arc::new(World::default());
    let readers: Vec<_> = (0..READERS).map(|_| spawn(read(Arc::clone(&world), is_fresh))).collect();
    for _ in 0..newer {
        yield_now().await;
        world.present.fetch_add(1, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.unwrap();
    }
    world.renewals.load(Ordering::SeqCst)
}

#[test]
fn in_any_order_one_renews_and_nobody_reads_an_older_value() {
    let orders = || {
        block_on(async {
            // None more than the store has, where values are renewed for being older.
            let renewals = renewals(2, |number, present| number >= present).await;
            assert!((1..=3).contains(&renewals), "{renewals} renewals of three values");
        });
    };
    shuttle::check_random(orders, ORDERS);
    shuttle::check_pct(orders, ORDERS, 3);
}

#[test]
fn in_any_order_readers_of_no_value_load_it_once() {
    let orders = || {
        block_on(async {
            assert_eq!(renewals(0, |_, _| true).await, 1, "a value that stays fresh");
        });
    };
    shuttle::check_random(orders, ORDERS);
}

#[test]
fn in_any_order_no_reader_waits_for_one_that_renews() {
    let orders = || {
        block_on(async {
            let world = Arc::new(World::default());
            world.cell.set(0);
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
