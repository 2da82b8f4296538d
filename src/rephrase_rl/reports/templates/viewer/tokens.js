// Log-probabilities of a candidate as the records have them.

function candidateFacts(candidate) {
  const facts = [
    `reward ${rewardText(candidate.reward)}`,
    `correctness ${rewardText(candidate.correctness)}`,
    `${plural(candidate.tokens, 'token')}${candidate.finished ? '' : ', cut at the length limit'}`,
  ];
  if (candidate.prefix) facts.push(`${plural(candidate.prefix, 'token')} at its start given`);
  if (candidate.copied !== null) facts.push(`${percent(candidate.copied)} in passages of the expert's`);
  return make('p', { class: 'note' }, facts.join(' · '), make('br'),
    'log-probability per token (nats): ', logpText(candidate.logp_q), ' given the question, ',
    logpText(candidate.logp_context), ' given the rephrase prompt');
}

function logpText(value) {
  return value === null ? 'not measured' : figure(value);
}
