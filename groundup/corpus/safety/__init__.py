"""What a text may not say: personal data, secrets, and words that hurt.

safety.personal   groundup.corpus.safety.personal:ReplacePersonal
safety.secrets    groundup.corpus.safety.secrets:ReplaceSecrets
safety.toxicity   groundup.corpus.safety.toxicity:ToxicityStep
"""
