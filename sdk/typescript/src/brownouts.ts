/**
 * Knows the moments in which an old version is refused before its end, so that whoever forgot it notices in time.
 *
 * The windows follow from the end alone: every verifier refuses at the same instants. Times are milliseconds.
 */

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const WARNINGS = [
  [24 * HOUR, 30 * SECOND],
  [6 * HOUR, 30 * SECOND],
  [HOUR, 60 * SECOND],
  [HOUR / 4, 60 * SECOND],
] as const;
// Whoever has just received the new secret cannot have given it to every program yet.
const FIRST_QUARTER = HOUR / 4;

/** Whether an old version is refused at that instant; never when no other version works. */
export function isBrownedOut(at: number, endsAt: number, bothSince: number | undefined): boolean {
  if (bothSince === undefined) return false;
  return WARNINGS.some(([before, length]) => {
    const start = endsAt - before;
    return start > bothSince + FIRST_QUARTER && start <= at && at < start + length;
  });
}
