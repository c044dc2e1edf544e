/** The header `name` of a SIP message. */
export function header(message: string, name: string): string {
  return new RegExp(`^${name}: (.*)\r$`, 'm').exec(message)?.[1] ?? '';
}

/** A SIP answer to `request`. */
export function sipAnswer(
  request: string,
  status: string,
  headers: Record<string, string> = {},
  body = '',
): string {
  const to = header(request, 'To');
  const lines = [
    `SIP/2.0 ${status}`,
    `Via: ${header(request, 'Via')}`,
    `From: ${header(request, 'From')}`,
    `To: ${to.includes('tag=') ? to : `${to};tag=gateway`}`,
    `Call-ID: ${header(request, 'Call-ID')}`,
    `CSeq: ${header(request, 'CSeq')}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(body === '' ? [] : ['Content-Type: application/sdp']),
    `Content-Length: ${body.length}`,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** An INFO of the gateway's in the call that `invite` began. */
export function info(invite: string, cseq: number, contentType: string, body: string): string {
  const lines = [
    `INFO ${/<([^>]+)>/.exec(header(invite, 'Contact'))?.[1] ?? ''} SIP/2.0`,
    `Via: SIP/2.0/WS gateway;branch=z9hG4bKinfo${cseq}`,
    'Max-Forwards: 70',
    `From: ${header(invite, 'To')};tag=gateway`,
    `To: ${header(invite, 'From')}`,
    `Call-ID: ${header(invite, 'Call-ID')}`,
    `CSeq: ${cseq} INFO`,
    `Content-Type: ${contentType}`,
    `Content-Length: ${body.length}`,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** Answers REGISTER, BYE and CANCEL; leaves INVITE to the test. */
export function registrar(message: string): string | undefined {
  if (message.startsWith('REGISTER ')) {
    return sipAnswer(message, '200 OK', { Contact: header(message, 'Contact') });
  }
  if (message.startsWith('BYE ') || message.startsWith('CANCEL ')) {
    return sipAnswer(message, '200 OK');
  }
  return message === '\r\n\r\n' ? '\r\n' : undefined;
}
