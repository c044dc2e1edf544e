/** Names of the payload types that need no rtpmap line. */
const STATIC: ReadonlyMap<string, string> = new Map([
  ['0', 'PCMU'],
  ['8', 'PCMA'],
  ['9', 'G722'],
]);

/** The first codec of the audio line of an SDP answer; empty where there is none. */
export function codecOf(sdp: string): string {
  const type = /^m=audio \d+ \S+ (\d+)/m.exec(sdp)?.[1];
  if (type === undefined) {
    return '';
  }
  const named = new RegExp(`^a=rtpmap:${type} ([^/\\s]+)`, 'm').exec(sdp)?.[1];
  return named ?? STATIC.get(type) ?? '';
}
