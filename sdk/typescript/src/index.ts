/** Verify API keys of Keystead, sign requests, and survive rotations without code of your own. */

export type { AnyCredential, Credential } from "./credentials.js";
export { Busy, IntegrityError, KeysteadError, MalformedKey, Refused, Unreachable, Unsafe } from "./errors.js";
export { digest, findKeys, type FoundKey, kidOf, parse, type ParsedKey } from "./keyText.js";
export { LocalVerifier, type LocalOptions } from "./localVerifier.js";
export { type Deciding, protect, type Protection, verdictOf } from "./middleware.js";
export { MemoryNonces, NonceStoreUnavailable, type NonceStore, type Spending } from "./nonces.js";
export { RotatingCredential, type RotatingOptions } from "./rotation.js";
export { Secret } from "./secret.js";
export { signedFetch, type SignedInit } from "./signedFetch.js";
export { contentDigest, type SignedRequest } from "./signedRequests.js";
export { Signer, type Signing } from "./signer.js";
export { FileStore, MemoryStore, type Store } from "./stores.js";
export type { Connection } from "./transport.js";
export type { Accepted, Client, Reason, Rejected, Verdict } from "./verdicts.js";
export { type SendCommand, ValkeyNonces } from "./valkeyNonces.js";
export { type Question, Verifier, type VerifierOptions, type Wanted } from "./verifier.js";
