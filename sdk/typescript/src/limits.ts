/** Holds keys to their limits by what this program itself accepted: so many requests a minute, so many a day (UTC). */

const MINUTE = 60_000;
const DAY = 86_400_000;
const MOST = 100_000; // keys with limits that are remembered; beyond it those of yesterday are forgotten

/** How many requests a version may be accepted for. */
export interface LimitsOfAKey {
  readonly perMinute: number | undefined;
  readonly perDay: number | undefined;
}

/** What one version used: this minute, the one before, and this day. */
interface Counts {
  minute: number;
  now: number;
  before: number;
  day: number;
  today: number;
}

/** The counts of one program. Other programs count for themselves: nobody is asked while somebody waits. */
export class Limits {
  #counts = new Map<string, Counts>();
  #most = MOST;

  /** Why one more request is too much at the instant `at` (milliseconds by Keystead's clock), or undefined: then it is counted. */
  refusal(kid: string, { perMinute = Infinity, perDay = Infinity }: LimitsOfAKey, at: number): "rate_limit" | "quota" | undefined {
    const day = Math.floor(at / DAY);
    const counts = this.#counts.get(kid) ?? this.#begin(kid, day);
    turn(counts, Math.floor(at / MINUTE), day);
    // A window that slides: the minute before counts for as much of it as still lies within sixty seconds.
    if (counts.now + counts.before * (1 - (at % MINUTE) / MINUTE) >= perMinute) return "rate_limit";
    if (counts.today >= perDay) return "quota";
    counts.now += 1;
    counts.today += 1;
    return undefined;
  }

  #begin(kid: string, day: number): Counts {
    if (this.#counts.size >= this.#most) {
      this.#counts = new Map([...this.#counts].filter(([, counts]) => counts.day === day));
      this.#most = Math.max(MOST, 2 * this.#counts.size); // who needs all of them does not look through them each time
    }
    const counts: Counts = { minute: 0, now: 0, before: 0, day: 0, today: 0 };
    this.#counts.set(kid, counts);
    return counts;
  }
}

/** Goes on to this minute and day. A clock that is set back by a moment gives nobody a second helping. */
function turn(counts: Counts, minute: number, day: number): void {
  if (minute > counts.minute || minute < counts.minute - 1) {
    counts.before = minute === counts.minute + 1 ? counts.now : 0;
    [counts.minute, counts.now] = [minute, 0];
  }
  if (day > counts.day || day < counts.day - 1) [counts.day, counts.today] = [day, 0];
}
