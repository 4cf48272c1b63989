//! The only source of randomness. Both functions are suitable for secrets.

use std::ops::Range;

use rand::{RngExt, TryRng};

/// Random bytes from the operating system.
///
/// # Errors
/// [`Error::Bug`](crate::Error::Bug) if the operating system provides none.
pub fn bytes<const N: usize>() -> crate::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| crate::Error::Bug("the operating system gives no random bytes"))?;
    Ok(bytes)
}

/// A uniformly distributed number in a range.
///
/// # Panics
/// If the range is empty.
#[expect(clippy::disallowed_methods, reason = "chance comes from here")]
pub(crate) fn number(range: Range<u32>) -> u32 {
    rand::rng().random_range(range)
}
