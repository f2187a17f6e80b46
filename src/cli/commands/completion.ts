import type { Command } from '../command.ts'

type Shell = 'bash' | 'zsh' | 'fish'

/** Each asks floe itself for what may follow; SHELL decides in which form yargs answers. */
const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# floe completion for bash: add to ~/.bashrc
#   eval "$(floe completion bash)"
_floe() {
  local word="\${COMP_WORDS[COMP_CWORD]}" answers
  answers="$(SHELL=bash floe --get-yargs-completions "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)"
  mapfile -t COMPREPLY < <(compgen -W "$answers" -- "$word")
  [ \${#COMPREPLY[@]} -gt 0 ] || compopt -o default
}
complete -F _floe floe
`,
  zsh: `#compdef floe
# floe completion for zsh: add to ~/.zshrc
#   eval "$(floe completion zsh)"
_floe() {
  local -a answers
  answers=("\${(@f)$(SHELL=zsh floe --get-yargs-completions "\${(@)words[1,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${answers[*]}" ]]; then
    _describe 'floe' answers
  else
    _files
  fi
}
compdef _floe floe
`,
  fish: `# floe completion for fish: save as ~/.config/fish/completions/floe.fish
complete -c floe -a '(SHELL=fish floe --get-yargs-completions (commandline -opc) (commandline -ct) 2>/dev/null)'
`,
}

export const completion: Command<{ shell: Shell | undefined }> = {
  usage: 'completion [shell]',
  text: 'Print a completion script for the shell',
  examples: [
    ['eval "$(floe completion bash)"', 'in ~/.bashrc'],
    ['floe completion fish > ~/.config/fish/completions/floe.fish', 'for fish'],
  ],
  options: (yargs) =>
    yargs.positional('shell', { choices: ['bash', 'zsh', 'fish'] as const, describe: 'Default: the one of $SHELL' }),
  async run({ shell }, { terminal }) {
    const chosen = shell ?? (['zsh', 'fish'] as const).find((name) => process.env.SHELL?.endsWith(name)) ?? 'bash'
    if (terminal.json) await terminal.outJson({ shell: chosen, script: SCRIPTS[chosen] })
    else await terminal.out(SCRIPTS[chosen])
    return 0
  },
}
