"""The policy pack: what a registry's stack must never do.

Every rule is mandatory, unless `levels/<stack>.json` says otherwise for one stack. A rule that needs a value which a
preview cannot know yet is only reported then, and stops the `up`. The rules look at resources, not at settings, so
they hold whatever the program does.
"""
