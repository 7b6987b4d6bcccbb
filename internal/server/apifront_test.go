package server

// apiFront is what the reference of the API begins with.
const apiFront = `# The API

%s

The API is what the command line and the console call; whatever they can do, it can. It is spoken by the
[Connect protocol](https://connectrpc.com/docs/protocol) over TLS at the server's one port, with messages of ` + "`api/keepward/v1`" + ` as JSON or as protobuf. A
client in Go is generated: ` + "`api/keepward/v1/keepwardv1connect`" + `, which the command line itself uses; other languages generate theirs from the
same files. What may change and what may not is in [decisions/api-compatibility.md](../../decisions/api-compatibility.md).

## A call

A POST of the request as JSON to ` + "`/keepward.v1.SERVICE/CALL`" + `. The answer is JSON with status 200.

- **Certificate**: the server's is of the site's own authority. ` + "`ca.pem`" + ` is ` + "`ca:`" + ` of a client file (` + "`keepward login`" + ` writes one), or ` + "`ca/ca.crt`" + ` of the server's data directory.
- **Token**: made by ` + "`keepward api-token create NAME`" + ` ([operator/access.md](../../operator/access.md)). It goes into the header ` + "`Authorization: Bearer TOKEN`" + `. The
  examples have curl read that header from a file ` + "`token.header`" + `, since arguments are seen by every user of a computer:
  ` + "`(umask 077; printf 'Authorization: Bearer %%s\\n' \"$(cat token)\" > token.header)`" + `.
- **JSON**: fields are written ` + "`likeThis`" + `, and those that are empty are left out of answers. 64 bit numbers are texts in answers and may be numbers in requests; times
  are ` + "`\"2026-11-23T20:00:00Z\"`" + `, durations ` + "`\"3600s\"`" + `, bytes (paths of files among them, which need not be text) base64. A field that the server does not know is refused.

## Errors

An answer with another status than 200 is an error. Its ` + "`details`" + ` have a ` + "[`Failure`](messages.md#failure)" + ` in ` + "`debug`" + `: a kind, a code that stays the same over versions, a sentence, and
where there is one a hint. Every code is in [errors.md](../../errors.md).

| kind | status | |
|---|---|---|
| invalid | 400 | the request cannot be meant like that |
| denied | 403 | who calls may not |
| not found | 404 | |
| exists | 409 | |
| busy | 400 | not now: something else has to end first |
| no space | 429 | |
| unavailable | 503 | the server, or a node that it needs, was not reached: try again |
| cancelled | 499 | |
| corrupt, internal | 500 | |

Every call may answer the codes of [` + "`access`" + `](../../errors.md#access) and [` + "`catalog`" + `](../../errors.md#catalog).

## The same call again

A connection that is lost before the answer came leaves open whether the call was done. Give calls that change something a header ` + "`Idempotency-Key`" + `: up to 128 printable
characters, made up anew for each request (as by ` + "`uuidgen`" + `), and make the same call again with the same key.

| | |
|---|---|
| done | the first answer again, with the header ` + "`Idempotency-Repeated`" + `; nothing is done |
| still going on | it waits up to 30 seconds for the first one; then ` + "`idempotency.running`" + ` |
| refused or failed | it is done as if for the first time: errors are not kept |
| done, with a secret in its answer (or one over 64 KiB) | ` + "`idempotency.answered`" + `, with a hint how to go on: such answers are kept nowhere |
| the server was killed or stopped on it | ` + "`idempotency.unknown`" + `: it may be done or not, and is **not** done again. Look, and use another key |
| another request with the key | ` + "`idempotency.other-request`" + ` |

A call with a key is done at most once. The key is written before the call begins and its answer after it ended, in two transactions, so a server that dies between both
cannot tell; it never guesses. A call with a key goes on when who made it hangs up. Keys are those of the user (not of the token), for 24 hours, also over a restart, and at least the
newest 20 000 of each user. Kept answers are sealed with the server's key; of requests only a keyed digest is kept. Each try is a row of the audit log, a repeated one with ` + "`repeats`" + `.
Calls that only look pass the header over; streams that change something refuse it (` + "`idempotency.stream`" + `). The command line sends a key with every call and makes calls again whose
answer was lost; ` + "`--idempotency-key`" + ` gives it one for the whole command.

## Streams

Calls that watch, or answer much, answer a stream of messages: ` + "`Content-Type: application/connect+json`" + `. Each message, that of the request too, has five bytes before it: one
of flags (0), and the length, four bytes, the highest first. The last one has the flag 2 and is ` + "`{}`" + ` or ` + "`{\"error\": …}`" + `: an error of a stream comes there, with status 200. The examples write
the five bytes with printf. Streams that watch go on until who calls hangs up.

## Calls
`
