function part(value: object): string {
  return btoa(JSON.stringify(value)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

export const WORKSPACE = '01890a5d-ac96-774b-bcce-b302099a8057';

let minted = 0;

/** A token with the gateway's claims and no real signature; each is different. */
export function mint(claims: object = {}): string {
  minted += 1;
  const iat = 1_700_000_000;
  const payload = { iss: 'sautikit-sip', sub: WORKSPACE, iat, exp: iat + 300, ...claims };
  return `${part({ alg: 'HS256', typ: 'JWT' })}.${part(payload)}.signature${minted}`;
}
