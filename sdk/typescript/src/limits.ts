/** Holds keys to their limits by what this program itself accepted: so many requests a minute, so many a day (UTC). */

const DAY = 86_400_000;
const STEP = 5_000; // what was accepted counts for a minute, and on to the end of its step
const STEPS = 60_000 / STEP + 1; // that lie within the last sixty seconds, the first of them in part
const MOST = 100_000; // keys with limits that are remembered; beyond it those of yesterday are forgotten

/** How many requests a version may be accepted for. */
export interface LimitsOfAKey {
  readonly perMinute: number | undefined;
  readonly perDay: number | undefined;
}

/** What one version used: in each of the last steps of time, the newest first, and this day. */
interface Counts {
  step: number;
  used: number[];
  day: number;
  today: number;
}

/** The counts of one program. Other programs count for themselves: nobody is asked while somebody waits. */
export class Limits {
  #counts = new Map<string, Counts>();
  #most = MOST;

  /** Why one more request is too much at the instant `at` (milliseconds by Keystead's clock), or undefined: then it is counted. */
  refusal(kid: string, { perMinute = Infinity, perDay = Infinity }: LimitsOfAKey, at: number): "rate_limit" | "quota" | undefined {
    const [step, day] = [Math.floor(at / STEP), Math.floor(at / DAY)];
    const counts = this.#counts.get(kid) ?? this.#begin(kid, step, day);
    turn(counts, step, day);
    // A step that lies in the last minute in part counts whole: the turn of no minute gives a second helping.
    if (counts.used.reduce((sum, each) => sum + each) >= perMinute) return "rate_limit";
    if (counts.today >= perDay) return "quota";
    counts.used[0]! += 1;
    counts.today += 1;
    return undefined;
  }

  #begin(kid: string, step: number, day: number): Counts {
    if (this.#counts.size >= this.#most) {
      this.#counts = new Map([...this.#counts].filter(([, counts]) => counts.day === day || counts.step > step - STEPS));
      this.#most = Math.max(MOST, 2 * this.#counts.size); // who needs all of them does not look through them each time
    }
    const counts: Counts = { step: 0, used: nothing(), day: 0, today: 0 };
    this.#counts.set(kid, counts);
    return counts;
  }
}

function nothing(): number[] {
  return new Array<number>(STEPS).fill(0);
}

/** Goes on to this step and day. A clock that is set back by a moment gives nobody a second helping. */
function turn(counts: Counts, step: number, day: number): void {
  if (step > counts.step) {
    const ahead = Math.min(step - counts.step, STEPS);
    [counts.step, counts.used] = [step, [...nothing().slice(0, ahead), ...counts.used].slice(0, STEPS)];
  } else if (step <= counts.step - STEPS) {
    [counts.step, counts.used] = [step, nothing()];
  }
  if (day > counts.day || day < counts.day - 1) [counts.day, counts.today] = [day, 0];
}
