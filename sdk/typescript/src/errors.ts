/** What can go wrong, in words that a person can act on. No message ever quotes a secret. */

export class KeysteadError extends Error {
  override readonly name: string = "KeysteadError";
  constructor(
    message: string,
    readonly code: string,
  ) {
    super(message);
  }
}

/** Tells somebody of trouble. What they throw is theirs, and a rejection that nobody hears would end the process. */
export function telling(onTrouble: (error: unknown) => void): (error: unknown) => void {
  return (error) => {
    try {
      onTrouble(error);
    } catch {
      process.emitWarning(`nobody was told: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
}

/** A text is not a key of Keystead (`key_form`), or was mistyped (`key_check`). Found offline. */
export class MalformedKey extends KeysteadError {
  override readonly name = "MalformedKey";
}

/** Keystead did not answer in time or not in its own language. Nothing is known; treat every key as not valid. */
export class Unreachable extends KeysteadError {
  override readonly name = "Unreachable";
}

/** Keystead understood and said no: `status`, `code` and the other members of the problem. */
export class Refused extends KeysteadError {
  override readonly name: string = "Refused";
  constructor(
    message: string,
    code: string,
    readonly status: number,
    readonly members: Readonly<Record<string, unknown>> = {},
  ) {
    super(message, code);
  }

  /** Seconds after which it makes sense to ask again, if that was said. */
  get tryAfter(): number | undefined {
    const said = this.members["check_after"] ?? this.members["retry_after"];
    return typeof said === "number" ? said : undefined;
  }
}

/** Nothing was changed, and the same request may be sent again. */
export class Busy extends Refused {
  override readonly name = "Busy";
}

/** Something would put a secret where others can read it; it was not done. */
export class Unsafe extends KeysteadError {
  override readonly name = "Unsafe";
}

/** Something signed was changed on its way, or signed by somebody else. Nothing of it is believed. */
export class IntegrityError extends KeysteadError {
  override readonly name = "IntegrityError";
}
